//! Tasks that run while somebody listens to them.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::broadcast::{self, Receiver, Sender, WeakSender};

/// Items that a task produces while anybody listens. A listener gets all items from when it came on, as far as it keeps
/// up.
pub(crate) struct OnDemand<T> {
    running: Arc<Mutex<Option<WeakSender<T>>>>,
}

/// The task's end.
pub(crate) struct Publisher<T> {
    sender: Sender<T>,
    running: Arc<Mutex<Option<WeakSender<T>>>>,
}

impl<T: Clone + Send + 'static> OnDemand<T> {
    /// Listens, and starts the task if it does not run. A listener that is more than `capacity` items behind misses the
    /// oldest.
    ///
    /// # Errors
    /// Those of `prepare`, which is run before the task starts.
    pub(crate) async fn subscribe<S, E, F>(
        &self,
        capacity: usize,
        prepare: impl Future<Output = Result<S, E>>,
        run: impl FnOnce(S, Publisher<T>) -> F,
    ) -> Result<Receiver<T>, E>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.running.lock().await;
        if let Some(sender) = running.as_ref().and_then(WeakSender::upgrade) {
            return Ok(sender.subscribe());
        }
        let prepared = prepare.await?;
        let (sender, receiver) = broadcast::channel(capacity);
        *running = Some(sender.downgrade());
        let publisher = Publisher { sender, running: Arc::clone(&self.running) };
        tokio::spawn(run(prepared, publisher));
        Ok(receiver)
    }
}

impl<T> Publisher<T> {
    /// Returns true if anybody listens. Otherwise the task has to end, and the next listener starts another.
    pub(crate) async fn is_wanted(&self) -> bool {
        let mut running = self.running.lock().await;
        let is_wanted = self.sender.receiver_count() > 0;
        if !is_wanted {
            *running = None;
        }
        is_wanted
    }

    /// Gives an item to all listeners.
    pub(crate) fn publish(&self, item: T) {
        // An error means that nobody listens any more.
        let _ = self.sender.send(item);
    }
}

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<T> fmt::Debug for OnDemand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDemand").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use tokio::sync::Notify;

    use super::*;

    /// Subscribes to a task that publishes its number for each notification.
    async fn subscribe(numbers: &OnDemand<u32>, number: u32, notify: &Arc<Notify>) -> Receiver<u32> {
        let notify = Arc::clone(notify);
        let run = move |number, publisher: Publisher<u32>| async move {
            while publisher.is_wanted().await {
                notify.notified().await;
                publisher.publish(number);
            }
        };
        let Ok(receiver) = numbers.subscribe(1, ready(Ok::<_, Infallible>(number)), run).await;
        receiver
    }

    #[tokio::test]
    async fn one_task_runs_while_anybody_listens_and_another_afterwards() {
        let (numbers, notify) = (OnDemand::default(), Arc::new(Notify::new()));
        let mut first = subscribe(&numbers, 1, &notify).await;
        let mut second = subscribe(&numbers, 2, &notify).await;
        notify.notify_one();
        assert_eq!((first.recv().await, second.recv().await), (Ok(1), Ok(1)));
        drop((first, second));
        notify.notify_one();
        while numbers.running.lock().await.is_some() {
            tokio::task::yield_now().await;
        }
        let mut third = subscribe(&numbers, 3, &notify).await;
        notify.notify_one();
        assert_eq!(third.recv().await, Ok(3));
    }
}
