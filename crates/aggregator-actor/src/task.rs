use tokio::task::JoinHandle;

/// A task that ends with its owner, however that ends.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

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
