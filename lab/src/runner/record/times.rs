//! The times of requests: those with a reply, and those without.

use model::protocol::Slice;
use telemetry::latency::{DecodeError, Latency};

/// The times of one slice's requests, or of several slices'.
#[derive(Debug, Default)]
pub struct Times {
    /// From due to reply.
    pub response: Latency,
    /// From the send to the reply.
    pub service: Latency,
    /// How long requests without a reply had been due.
    pub response_open: Latency,
    /// How long sent requests without a reply had been under way.
    pub service_open: Latency,
}

impl Times {
    /// Those that a client's slice holds.
    ///
    /// # Errors
    /// When one of its histograms is none.
    pub fn read(slice: &Slice) -> Result<Times, DecodeError> {
        Ok(Times {
            response: latency(&slice.response_histogram)?,
            service: latency(&slice.service_histogram)?,
            response_open: latency(&slice.response_open_histogram)?,
            service_open: latency(&slice.service_open_histogram)?,
        })
    }

    /// Adds another slice's.
    pub fn merge(&mut self, other: &Times) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.response_open.merge(&other.response_open);
        self.service_open.merge(&other.service_open);
    }
}

/// No text stands for no times.
fn latency(text: &str) -> Result<Latency, DecodeError> {
    match text {
        "" => Ok(Latency::new()),
        text => Latency::from_base64(text),
    }
}
