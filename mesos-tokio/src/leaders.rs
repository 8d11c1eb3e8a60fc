//! The detector's task.

use mesos_core::{Detector, Endpoint};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

use crate::connect::AbortOnDrop;

type News = mpsc::Receiver<Option<Endpoint>>;

/// Follows the leading master. Dropping it ends its task.
pub(crate) struct Leaders {
    news: News,
    /// The work, until there is a runtime to do it.
    idle: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    task: Option<AbortOnDrop>,
}

impl Leaders {
    pub(crate) fn new<D: Detector + 'static>(mut detector: D) -> Self {
        let (sender, news) = mpsc::channel(1);
        let work = async move { while sender.send(detector.next().await).await.is_ok() {} };
        Self { news, idle: Some(Box::pin(work)), task: None }
    }

    pub(crate) fn start(&mut self) {
        self.task = self.idle.take().map(|work| AbortOnDrop(tokio::spawn(work)));
    }

    /// The next news. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Endpoint> {
        match self.news.recv().await {
            Some(news) => news,
            // It has panicked: what was known stands.
            None => std::future::pending().await,
        }
    }
}
