use tokio::task::JoinHandle;

/// Task that ends with its owner, however the owner ends. Keep a timer, or work beside the mailbox, in an actor's
/// state.
#[derive(Debug)]
pub struct OwnedTask(JoinHandle<()>);

impl From<JoinHandle<()>> for OwnedTask {
    fn from(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
