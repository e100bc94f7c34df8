//! Connection of a client that pipelines requests.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Connection whose replies are split into lines.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(address).await?)))
    }

    /// Sends requests of RESP, and returns the integers and texts of this number of replies.
    pub(crate) async fn ask(&mut self, requests: &str, replies: usize) -> io::Result<Vec<String>> {
        let mut answers = Vec::new();
        self.ask_into(requests, replies, |answer| answers.push(answer.to_owned())).await?;
        Ok(answers)
    }

    /// Sends requests of RESP, and hands out the integer or text of each reply as it arrives.
    pub(crate) async fn ask_into(
        &mut self,
        requests: &str,
        replies: usize,
        mut answer: impl FnMut(&str),
    ) -> io::Result<()> {
        self.send(requests).await?;
        let mut answers = 0;
        while answers < replies {
            let line = self.line().await?;
            match line.as_bytes().first() {
                // The text of a bulk string and the items of a list follow.
                Some(b'$' | b'*') => continue,
                Some(b':') => answer(&line[1..]),
                Some(b'-') => panic!("{line}"),
                _ => answer(&line),
            }
            answers += 1;
        }
        Ok(())
    }

    /// Sends a request of RESP, and returns the error that it is refused with.
    pub(crate) async fn refused(&mut self, request: &str) -> io::Result<String> {
        self.send(request).await?;
        let line = self.line().await?;
        assert!(line.starts_with('-'), "{line}");
        Ok(line)
    }

    /// Sends requests of HTTP, and returns the first line of JSON of each of these answers, which are successes.
    pub(crate) async fn ask_http(&mut self, requests: &str, answers: usize) -> io::Result<Vec<Value>> {
        self.send(requests).await?;
        let mut lines = Vec::new();
        for _ in 0..answers {
            let (status, body) = self.http_answer().await?;
            assert!(status.contains(" 20"), "{status}: {body}");
            let line = body.lines().next().unwrap_or_default();
            lines.push(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {body}")));
        }
        Ok(lines)
    }

    /// Sends text.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// Reads an answer of HTTP: the line with its status, and its body.
    pub(crate) async fn http_answer(&mut self) -> io::Result<(String, String)> {
        let (mut head, body) = self.http_head_and_body().await?;
        Ok((head.swap_remove(0), body))
    }

    /// Reads an answer of HTTP: the lines of its head, and its body.
    pub(crate) async fn http_head_and_body(&mut self) -> io::Result<(Vec<String>, String)> {
        let (mut head, mut length) = (vec![self.line().await?], 0);
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().expect("a number");
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((head, String::from_utf8(body).expect("it is text")))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        // A line without its end is of a server that is gone.
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}
