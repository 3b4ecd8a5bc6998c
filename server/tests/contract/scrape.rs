//! Scrapes /metrics over one connection that stays open.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A connection to a server's metrics.
pub struct Scraper {
    stream: BufReader<TcpStream>,
}

impl Scraper {
    /// Connects; each scrape may take `patience`.
    pub fn connect(address: SocketAddr, patience: Duration) -> Result<Scraper> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut scraper = Scraper {
            stream: BufReader::new(stream),
        };
        // Makes sure that the server has accepted it.
        scraper.scrape()?;
        Ok(scraper)
    }

    /// What the server counts now.
    pub fn scrape(&mut self) -> Result<Metrics> {
        self.stream
            .get_mut()
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let status = self.line()?;
        ensure!(
            status.starts_with("HTTP/1.1 200 "),
            "/metrics answered `{status}`"
        );
        let (mut length, mut chunked) = (0, false);
        loop {
            let header = self.line()?.to_ascii_lowercase();
            match header.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse()?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16)?;
                self.append(&mut body, size)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.append(&mut body, length)?;
        }
        Metrics::parse(&String::from_utf8(body)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context("scraping /metrics")?;
        Ok(line.trim_end().to_owned())
    }

    fn append(&mut self, body: &mut Vec<u8>, size: usize) -> Result<()> {
        let start = body.len();
        body.resize(start + size, 0);
        Ok(self.stream.read_exact(&mut body[start..])?)
    }
}

/// One scrape: samples by name and labels, as they are written.
#[derive(Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Result<Metrics> {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        let parsed = samples.map(|line| {
            let (name, value) = line
                .rsplit_once(' ')
                .with_context(|| format!("no sample: `{line}`"))?;
            Ok((name.to_owned(), value.parse()?))
        });
        Ok(Metrics(parsed.collect::<Result<_>>()?))
    }

    /// The sample with this name, and labels if it has any.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with("echolab_") || name.contains("_fds"));
        for (name, value) in ours.filter(|(name, _)| !name.contains("_bucket")) {
            writeln!(f, "{name} {value}")?;
        }
        Ok(())
    }
}
