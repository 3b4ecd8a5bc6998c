//! Asks a contender for its CPU profile, where Go programs have it and ours do: `/debug/pprof/profile` beside its
//! metrics.

use std::time::Duration;

/// Samples for each second of CPU time. A kernel with 250 ticks a second gives no more; a prime, so that samples do not
/// march in step with work that comes each few milliseconds. Go's servers take no notice of it and sample 100 times a
/// second.
pub const HERTZ: u32 = 251;
/// How long a server may take, beside the recording itself, to find the names of all functions on a busy machine.
const NAMING: Duration = Duration::from_secs(30);
/// No profile of so few seconds is larger, packed.
const BYTES_MAX: u64 = 64 << 20;
/// How much of an answer that is no profile is repeated.
const EXCERPT_CHARS: usize = 120;

/// Where a profile of so many seconds is, when this is where the metrics are: at the same host and port.
pub fn url(metrics: &str, seconds: u32) -> String {
    let rest = metrics.strip_prefix("http://").unwrap_or(metrics);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    format!("http://{authority}/debug/pprof/profile?seconds={seconds}&frequency={HERTZ}")
}

/// How long a profile of so many seconds is waited for.
pub fn patience(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into()) + NAMING
}

/// Waits for a profile, at most for `patience`, and returns the file as it came.
///
/// # Errors
/// Why there is none, in plain words.
pub fn fetch(url: &str, patience: Duration) -> Result<Vec<u8>, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .build()
        .into();
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => format!("{url} did not answer within {:.0} s", patience.as_secs_f64()),
        error => format!("{url} cannot be read: {error}"),
    };
    let mut response = agent.get(url).call().map_err(failed)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BYTES_MAX).read_to_vec();
    match status {
        200 => body.map_err(failed),
        404 => Err(format!("it serves no profiles: {url} answered 404")),
        409 => Err(format!(
            "somebody else is profiling it: {url} answered 409 ({})",
            excerpt(&body.unwrap_or_default())
        )),
        status => Err(format!(
            "{url} answered {status} ({})",
            excerpt(&body.unwrap_or_default())
        )),
    }
}

/// The beginning of an answer as one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(EXCERPT_CHARS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn profiles_are_where_the_metrics_are() {
        for metrics in [
            "http://10.0.0.7:9100/metrics",
            "http://10.0.0.7:9100",
            "http://10.0.0.7:9100/a/b?c",
        ] {
            assert_eq!(
                url(metrics, 5),
                "http://10.0.0.7:9100/debug/pprof/profile?seconds=5&frequency=251"
            );
        }
    }

    /// What `fetch` makes of this answer.
    fn of_answer(answer: &'static str) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let metrics = format!("http://{}/metrics", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let fetched = fetch(&url(&metrics, 1), patience(1));
        server.join().unwrap();
        fetched
    }

    #[test]
    fn an_answer_is_a_profile_or_a_reason() {
        let good = of_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npack");
        assert_eq!(good.unwrap(), b"pack");
        for (answer, why) in [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                "serves no profiles",
            ),
            (
                "HTTP/1.1 409 Conflict\r\nContent-Length: 15\r\n\r\ntry again\nlater",
                "somebody else is profiling it",
            ),
            (
                "HTTP/1.1 409 Conflict\r\nContent-Length: 15\r\n\r\ntry again\nlater",
                "(try again later)",
            ),
            (
                "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad",
                "answered 500 (bad)",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut",
                "cannot be read",
            ),
            ("nonsense\r\n\r\n", "cannot be read"),
        ] {
            let error = of_answer(answer).unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
    }

    #[test]
    fn waiting_has_an_end() {
        // It accepts by way of the backlog, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let metrics = format!("http://{}/metrics", listener.local_addr().unwrap());
        let error = fetch(&url(&metrics, 1), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not answer within"), "{error}");
    }

    #[test]
    fn nobody_there_is_said() {
        let error = fetch(&url("http://127.0.0.1:1/metrics", 1), patience(1)).unwrap_err();
        assert!(error.contains("127.0.0.1:1/debug/pprof/profile"), "{error}");
    }
}
