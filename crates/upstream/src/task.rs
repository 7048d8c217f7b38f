//! Supervised tasks: the only place that starts one.
//!
//! A bare spawned task that nobody awaits loses its panic. Every long-lived or detached task of the gateway is started
//! here, under a name; what it dies of is logged. Used by every crate above this one.

use std::future::Future;

use tokio::task::{AbortHandle, JoinHandle};

/// A running task. Dropping it lets the task run on; [`Task::stop`] ends it.
#[derive(Debug)]
pub struct Task {
    name: &'static str,
    abort: AbortHandle,
    watcher: JoinHandle<()>,
}

impl Task {
    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the task at its next await point.
    pub fn stop(&self) {
        self.abort.abort();
    }

    /// Whether the task is over, well or badly.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.watcher.is_finished()
    }

    /// Waits until the task is over, well or badly; what it died of is in the log.
    pub async fn finished(self) {
        drop(self.watcher.await);
    }
}

/// Starts `future` under `name` and logs at level `error` if it panics.
///
/// # Panics
/// Where no Tokio runtime is running, as `tokio::spawn` does.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks, and it watches them")]
pub fn spawn<F>(name: &'static str, future: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    let inner = tokio::spawn(future);
    let abort = inner.abort_handle();
    let watcher = tokio::spawn(async move {
        match inner.await {
            Ok(()) => tracing::trace!(task = name, "task finished"),
            Err(error) if error.is_cancelled() => tracing::trace!(task = name, "task stopped"),
            Err(error) => tracing::error!(task = name, %error, "task panicked"),
        }
    });
    Task { name, abort, watcher }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_task_alone() {
        let task = spawn("panicking", async { panic!("on purpose") });
        assert_eq!(task.name(), "panicking");
        task.finished().await;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let _task = spawn("answering", async move { sender.send(7).unwrap() });
        assert_eq!(receiver.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_stopped_task_ends() {
        let task = spawn("endless", std::future::pending());
        task.stop();
        task.finished().await;
    }
}
