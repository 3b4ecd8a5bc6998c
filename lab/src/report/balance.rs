//! Pure: how a server's load was spread over its epolls, each beside its fair share.

use super::figures::decimal;
use model::result::LabResult;
use model::run::Run;

/// The columns of the table of busiest and idlest.
pub const COLUMNS: [&str; 6] = [
    "contender",
    "epolls",
    "messages: busiest, × fair share",
    "messages: idlest, × fair share",
    "connections: most",
    "connections: fewest",
];

/// What the table says, for who sees no chart.
pub const LEGEND: &str = "Balance between epolls: what the busiest and the idlest handled over the fair share, which is all messages over \
                          all epolls (counted are readable events, about one a message), and the most and the fewest connections that \
                          one of them holds";

/// One epoll's part of the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    /// The epoll's name.
    pub epoll: &'a str,
    /// Its readable events: about one a message.
    pub events: u64,
    /// These over the fair share: 1 when all epolls have the same.
    pub events_of_fair: f64,
    /// Its connections.
    pub connections: u64,
    /// These over the fair share; `None` when nobody has any.
    pub connections_of_fair: Option<f64>,
}

/// Each epoll's part. Empty when there is nothing to share: fewer than two epolls, no event, or no figures of each.
pub fn parts(run: &Run) -> Vec<Part<'_>> {
    let epolls = &run.server.epolls;
    let sum =
        |figure: fn(&model::run::EpollFigures) -> u64| epolls.iter().map(figure).map(|n| n as f64).sum();
    let (events, connections): (f64, f64) =
        (sum(|epoll| epoll.readable_events), sum(|epoll| epoll.connections));
    if epolls.len() < 2 || events <= 0.0 {
        return vec![];
    }
    let of_fair = |figure: u64, all: f64| figure as f64 * epolls.len() as f64 / all;
    let part = epolls.iter().map(|epoll| Part {
        epoll: &epoll.epoll,
        events: epoll.readable_events,
        events_of_fair: of_fair(epoll.readable_events, events),
        connections: epoll.connections,
        connections_of_fair: (connections > 0.0).then(|| of_fair(epoll.connections, connections)),
    });
    part.collect()
}

/// The least and the most of the parts' events over the fair share.
pub fn span(parts: &[Part<'_>]) -> (f64, f64) {
    let shares = parts.iter().map(|part| part.events_of_fair);
    shares.fold((f64::MAX, 0.0), |(least, most), share| {
        (share.min(least), share.max(most))
    })
}

/// Busiest and idlest, a row for each run that has several epolls.
pub fn rows(result: &LabResult, scenario: &str) -> Vec<[String; COLUMNS.len()]> {
    let row = |run: &Run| {
        let parts = parts(run);
        let (least, most) = span(&parts);
        let connections = || parts.iter().map(|part| part.connections);
        Some([
            run.contender.clone(),
            parts.len().to_string(),
            decimal(most, 2),
            decimal(least, 2),
            connections().max()?.to_string(),
            connections().min()?.to_string(),
        ])
    };
    result.runs_of(scenario).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{fixture, markdown};
    use model::run::EpollFigures;

    fn with(epolls: &[(u64, u64)]) -> Run {
        let mut run = fixture::run("few", "epoll", 10.0, 2);
        let figures = epolls.iter().zip(0..);
        run.server.epolls = figures
            .map(|(&(readable_events, connections), number)| EpollFigures {
                epoll: number.to_string(),
                readable_events,
                connections,
            })
            .collect();
        run
    }

    #[test]
    fn a_part_is_measured_by_the_fair_share() {
        let run = with(&[(600, 10), (200, 20), (100, 30), (100, 0)]);
        let parts = parts(&run);
        let events: Vec<_> = parts.iter().map(|part| part.events_of_fair).collect();
        assert_eq!(events, [2.4, 0.8, 0.4, 0.4]);
        let connections = parts.iter().filter_map(|part| part.connections_of_fair);
        assert!(
            (connections.sum::<f64>() - 4.0).abs() < 1e-9,
            "the fair share is 1 on average"
        );
        assert_eq!(span(&parts), (0.4, 2.4));
    }

    #[test]
    fn what_is_not_shared_has_no_parts() {
        for epolls in [&[][..], &[(100, 5)], &[(0, 0), (0, 0)]] {
            assert_eq!(parts(&with(epolls)), [], "{epolls:?}");
        }
        let uncounted = with(&[(10, 0), (30, 0)]);
        assert!(
            parts(&uncounted)
                .iter()
                .all(|part| part.connections_of_fair.is_none())
        );
    }

    #[test]
    fn markdown_has_a_row_for_each_who_shares_and_nothing_when_nobody_does() {
        let mut result = fixture::result();
        assert!(!markdown::render(&result).contains("Balance between epolls"));
        result.runs[0].server.epolls = with(&[(600, 12), (400, 8)]).server.epolls;
        let text = markdown::render(&result);
        assert_eq!(text.matches("Balance between epolls").count(), 1, "{text}");
        assert!(text.contains("| epoll | 2 | 1.20 | 0.80 | 12 | 8 |"), "{text}");
    }
}
