//! /metrics, /healthz and /debug/pprof/ on a thread of its own, so that no scrape ever runs on an engine's worker.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::oneshot;

use crate::family::{self, Source};
use crate::observers::EXPORTER;
use crate::profile::{self, Profiler};

/// What an exporter may have beside the metrics.
#[derive(Default, Clone)]
pub struct Extras {
    /// Serves `/debug/pprof/`.
    pub profiler: Option<Arc<Profiler>>,
    /// Runs first on the exporter's thread: to leave it out of what is counted for each thread, for example.
    pub on_start: Option<fn()>,
}

/// A running exporter. Stops when dropped.
pub struct Exporter {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves `sources` on `listener`, which the caller bound.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(listener: TcpListener, sources: Vec<Arc<dyn Source>>) -> io::Result<Exporter> {
        Exporter::start_with(listener, sources, Extras::default())
    }

    /// As [`Exporter::start`], with more than metrics.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start_with(
        listener: TcpListener,
        sources: Vec<Arc<dyn Source>>,
        extras: Extras,
    ) -> io::Result<Exporter> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(EXPORTER.to_owned())
            .spawn(move || {
                if let Some(on_start) = extras.on_start {
                    on_start();
                }
                let served: io::Result<()> = runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    tokio::select! {
                        result = axum::serve(listener, routes(sources, extras.profiler)) => result,
                        _ = stopped => Ok(()),
                    }
                });
                if let Err(error) = served {
                    eprintln!("the metrics exporter on {address} ended: {error}");
                }
            })?;
        Ok(Exporter {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn routes(sources: Vec<Arc<dyn Source>>, profiler: Option<Arc<Profiler>>) -> Router {
    let sources: Arc<[Arc<dyn Source>]> = sources.into();
    let metrics = move || {
        let sources = Arc::clone(&sources);
        async move {
            match family::encode(&sources) {
                Ok(text) => (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
                    text,
                )
                    .into_response(),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            }
        }
    };
    let mut known = "/metrics, /healthz".to_owned();
    let mut router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }));
    if let Some(profiler) = profiler {
        router = router.merge(profile::routes::routes(profiler));
        known.push_str(", /debug/pprof/, /debug/pprof/profile, /debug/pprof/flamegraph");
    }
    router.fallback(move |uri: Uri| async move {
        let path = uri.path();
        (
            StatusCode::NOT_FOUND,
            format!("there is nothing at {path}; there is: {known}\n"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::ServerCounters;
    use crate::process::OwnProcess;
    use std::io::{Read, Write};

    fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scrape_brings_what_was_counted() {
        let counters = ServerCounters::new("test", "1.2.3");
        counters.claim().messages.add(7);
        counters.claim_epoll(0).waited(3);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sources: Vec<Arc<dyn Source>> = vec![counters, Arc::new(OwnProcess::new().unwrap())];
        let exporter = Exporter::start(listener, sources).unwrap();
        let text = fetch(exporter.address(), "/metrics");
        for line in [
            "echolab_messages_total 7",
            "echolab_build_info{version=\"1.2.3\",engine=\"test\"} 1",
            "echolab_epoll_events_per_wait_bucket{epoll=\"0\",le=\"4\"} 1",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(fetch(exporter.address(), "/healthz").ends_with("ok\n"));
        assert!(fetch(exporter.address(), "/nothing").starts_with("HTTP/1.1 404"));
    }
}
