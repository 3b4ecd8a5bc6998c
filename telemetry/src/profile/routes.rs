//! The exporter's pages below `/debug/pprof/`, named as Go names them, so that its tools find them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Profiler;
use super::flamegraph::flamegraph;
use super::pprof::Profile;
use super::request::Request;

/// Seconds of a profile when the query does not say; as Go has it.
const PROFILE_SECONDS: u32 = 30;
/// Seconds of a flame graph when the query does not say: someone sits and waits for it.
const FLAMEGRAPH_SECONDS: u32 = 10;

/// The pages.
pub fn routes(profiler: Arc<Profiler>) -> Router {
    Router::new()
        .route("/debug/pprof", get(index))
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof/profile", get(profile))
        .route("/debug/pprof/flamegraph", get(graph))
        .with_state(profiler)
}

async fn index(State(profiler): State<Arc<Profiler>>) -> Response {
    let state = match profiler.busy() {
        Some(busy) => format!(
            "A recording is under way, for another {} s.",
            seconds_left(busy.left)
        ),
        None => "No recording is under way.".to_owned(),
    };
    let page = include_str!("index.html")
        .replace("{title}", profiler.title())
        .replace("{state}", &state);
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

async fn profile(State(profiler): State<Arc<Profiler>>, RawQuery(query): RawQuery) -> Response {
    match record(&profiler, query, PROFILE_SECONDS).await {
        Ok(profile) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"profile.pb.gz\"",
                ),
                (HeaderName::from_static("x-content-type-options"), "nosniff"),
            ];
            (headers, profile.to_gzip()).into_response()
        }
        Err(refused) => refused,
    }
}

async fn graph(State(profiler): State<Arc<Profiler>>, RawQuery(query): RawQuery) -> Response {
    let profile = match record(&profiler, query, FLAMEGRAPH_SECONDS).await {
        Ok(profile) => profile,
        Err(refused) => return refused,
    };
    match flamegraph(&profile, &format!("{}: where the CPU goes", profiler.title())) {
        Ok(image) => ([(header::CONTENT_TYPE, "image/svg+xml")], image).into_response(),
        Err(error) => {
            let found = profile.comments().first().copied().unwrap_or_default().to_owned();
            say(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{error} ({found}): put the server under load, or record for longer"),
            )
        }
    }
}

async fn record(
    profiler: &Profiler,
    query: Option<String>,
    default_seconds: u32,
) -> Result<Profile, Response> {
    let request = Request::parse(query.as_deref().unwrap_or_default(), default_seconds)
        .map_err(|error| say(StatusCode::BAD_REQUEST, &error))?;
    let outcome = profiler.record(request).map_err(|busy| {
        let left = seconds_left(busy.left);
        let mut refused = say(
            StatusCode::CONFLICT,
            &format!("a recording is under way, and there is one at a time: try again in {left} s"),
        );
        refused.headers_mut().insert(header::RETRY_AFTER, left.into());
        refused
    })?;
    match outcome.await {
        Ok(Ok(profile)) => Ok(profile),
        Ok(Err(error)) => Err(say(StatusCode::INTERNAL_SERVER_ERROR, &error)),
        Err(_) => Err(say(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the profiler has ended; its last words stand in the server's standard error",
        )),
    }
}

/// Whole seconds, and never none: by then it is not over yet.
fn seconds_left(left: std::time::Duration) -> u64 {
    left.as_secs() + 1
}

fn say(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
