//! Standard input as requests, and the answers to them.

use std::io;
use std::time::Duration;

use anyhow::Context;
use counter_cluster::{AcknowledgeError, Durability, NodeHandle};
use counter_keyspace::KeyspaceError;
use counter_node_protocol::{Answer, Listening, Report, Request};
use counter_protocol::CounterName;
use ractor_transport::NodeName;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::lines::Line;
use crate::load::count_load;

/// Maximum length of a request: JSON may take up to six bytes for one byte of a name.
pub(crate) const MAX_REQUEST_BYTES: usize = 8 * CounterName::MAX_BYTES;

/// Maximum number of requests with a number that are carried out at once; then no further line is read.
const REQUESTS_AT_ONCE: usize = 256;

/// Node that requests are answered by.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) node: NodeHandle,
    pub(crate) listening: Listening,
    /// Guarantee of an answer to an operation.
    pub(crate) durability: Durability,
}

/// Answers requests until their end or until `stop` is ready.
///
/// When this returns, no request is in progress: nothing is counted or acknowledged afterwards.
pub(crate) async fn answer_all(
    service: &Service,
    lines: mpsc::Receiver<io::Result<Line>>,
    answers: mpsc::Sender<String>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut in_progress = JoinSet::new();
    let outcome = tokio::select! {
        () = stop => Ok(()),
        outcome = answer_to_the_end(service, lines, answers, &mut in_progress) => outcome,
    };
    // An aborted task runs on to its next await, and may count and acknowledge an operation until then.
    in_progress.shutdown().await;
    outcome
}

/// Answers requests until their end. When the channel of answers is closed, the rest is skipped and not carried out.
async fn answer_to_the_end(
    service: &Service,
    mut lines: mpsc::Receiver<io::Result<Line>>,
    answers: mpsc::Sender<String>,
    in_progress: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    loop {
        let line = tokio::select! {
            biased;
            () = answers.closed() => break,
            Some(done) = in_progress.join_next() => {
                done.context("failed to answer a request")??;
                continue;
            }
            line = lines.recv(), if in_progress.len() < REQUESTS_AT_ONCE => line,
        };
        let Some(line) = line else { break };
        match request(&line.context("failed to read standard input")?) {
            Ok((Some(number), request)) => {
                let (service, answers) = (service.clone(), answers.clone());
                in_progress.spawn(async move {
                    let answer = answer(&service, request).await;
                    send(&answers, &(number, answer)).await
                });
            }
            Ok((None, request)) => send(&answers, &answer(service, request).await).await?,
            Err(reason) => send(&answers, &Answer::Failed(reason)).await?,
        }
    }
    while let Some(done) = in_progress.join_next().await {
        done.context("failed to answer a request")??;
    }
    while let Some(skipped) = lines.recv().await {
        skipped.context("failed to read standard input")?;
    }
    Ok(())
}

/// Carries out a request.
async fn answer(service: &Service, request: Request) -> Answer {
    match try_answer(service, request).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(error.to_string()),
    }
}

async fn try_answer(
    Service { node, listening, durability }: &Service,
    request: Request,
) -> Result<Answer, AcknowledgeError> {
    Ok(match request {
        Request::Add { name, amount } => {
            node.increment_at(name.as_bytes(), amount, *durability).await?;
            Answer::Added
        }
        Request::Load(load) => Answer::Loaded(count_load(node, load).await?),
        Request::Value { name, fresh_ms } => {
            let unanswered = refresh(node, Some(name.as_bytes()), fresh_ms).await?;
            Answer::Value(node.value(name.as_bytes()).await?.total, unanswered)
        }
        Request::Status { fresh_ms } => {
            let unanswered = refresh(node, None, fresh_ms).await?;
            Answer::Status(Report::new(node.status().await?, unanswered))
        }
        Request::Top { n } => Answer::Top(node.top(n).await?),
        Request::Listening {} => Answer::Listening(listening.clone()),
    })
}

/// Asks all nodes if a time is given for it, and returns those that did not answer.
async fn refresh(
    node: &NodeHandle,
    name: Option<&[u8]>,
    fresh_ms: Option<u64>,
) -> Result<Vec<NodeName>, KeyspaceError> {
    match fresh_ms {
        Some(deadline) => node.refresh(name, Duration::from_millis(deadline)).await,
        None => Ok(Vec::new()),
    }
}

/// Waits for room for the answer. If nobody receives it, the caller learns it from the closed channel.
async fn send(answers: &mpsc::Sender<String>, answer: &impl Serialize) -> anyhow::Result<()> {
    let answer = serde_json::to_string(answer).context("failed to write JSON")?;
    let _ = answers.send(answer).await;
    Ok(())
}

/// Parses the request of a line, with its number if it has one.
fn request(line: &Line) -> Result<(Option<u64>, Request), String> {
    let Line::Whole(line) = line else {
        return Err(format!("request of more than {MAX_REQUEST_BYTES} bytes"));
    };
    let request = if line.starts_with(b"[") {
        serde_json::from_slice(line).map(|(number, request)| (Some(number), request))
    } else {
        serde_json::from_slice(line).map(|request| (None, request))
    };
    request.map_err(|error| format!("expected a request as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use counter_cluster::{Node, NodeOptions};
    use counter_node_protocol::Load;
    use ractor_transport::Cookie;
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    #[test]
    fn a_request_may_have_a_number() {
        let top = Request::Top { n: 3 };
        let request = |line: &[u8]| request(&Line::Whole(line.to_vec()));
        assert_eq!(request(br#"{"top":{"n":3}}"#), Ok((None, top.clone())));
        assert_eq!(request(br#"[7,{"top":{"n":3}}]"#), Ok((Some(7), top)));
        assert!(request(b"[7]").is_err());
    }

    #[tokio::test]
    async fn no_request_is_in_progress_once_answering_has_stopped() {
        let node = Node::start(NodeOptions::new("stops".parse().unwrap(), Cookie::generate())).await.unwrap();
        let handle = node.handle();
        let listening =
            Listening { address: node.local_addr().unwrap(), replica: node.replica().to_string() };
        let endless = Request::Load(Load { operations: u64::MAX, names: 1, seed: 1, per_second: None });
        let (requests, lines) = mpsc::channel(1);
        requests.send(Ok(Line::Whole(serde_json::to_vec(&(1, endless)).unwrap()))).await.unwrap();
        let (answers, mut answered) = mpsc::channel(1);
        let stop = async { while handle.keyspace().stats().await.unwrap().total_operations == 0 {} };
        let service = Service { node: handle.clone(), listening, durability: Durability::Memory };
        answer_all(&service, lines, answers, stop).await.unwrap();
        // Each request in progress could send an answer.
        assert_eq!(answered.try_recv(), Err(TryRecvError::Disconnected));
        node.shutdown().await.unwrap();
    }

    #[test]
    fn the_longest_name_fits_into_a_request_however_it_is_written() {
        let name = r"\u0001".repeat(CounterName::MAX_BYTES);
        let line =
            format!(r#"[18446744073709551615,{{"add":{{"name":"{name}","amount":-9223372036854775808}}}}]"#);
        assert!(line.len() <= MAX_REQUEST_BYTES);
        assert!(request(&Line::Whole(line.into_bytes())).is_ok());
    }
}
