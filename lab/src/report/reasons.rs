//! Why a run is not to be believed, in plain words and with a remedy.

use std::collections::BTreeSet;

use model::judge::{Bottleneck, Death, Disturbance, Doubt};
use model::machine_part::{Throttling, Unaccounted};
use model::spoilt::Cause;
use model::verdict::Verdict;

/// The reasons of all doubts about a run, in their order. The first cause has the remedy; what follows from it says so.
pub fn all(doubts: &[Doubt]) -> Vec<String> {
    let causes = [Verdict::Throttled, Verdict::Disturbed];
    let mut verdicts = doubts.iter().map(Doubt::verdict);
    let cause = verdicts.find(|verdict| causes.contains(verdict));
    doubts.iter().map(|doubt| reason(doubt, cause)).collect()
}

/// What was seen, what it means, and what to change. What follows from `cause` has no remedy of its own.
pub fn reason(doubt: &Doubt, cause: Option<Verdict>) -> String {
    match doubt {
        Doubt::Died(death) => died(death),
        Doubt::NotMeasured => {
            "it was stopped before its first slice ended, so nothing was measured. Run again, and let it go on longer."
                .to_owned()
        }
        Doubt::NoReplies => {
            "not one right reply came back, so there is nothing to measure. Check that it is an echo service: it sends back every byte, in order."
                .to_owned()
        }
        Doubt::BadReplies(bad) => format!(
            "{bad} replies were not what had been sent; its figures are those of a server that does other work. An echo service sends back every byte, once, in order."
        ),
        Doubt::Errors(counted) => {
            let listed: Vec<_> = counted
                .iter()
                .map(|(reason, count)| format!("{count} × {reason}"))
                .collect();
            format!(
                "connections were lost or requests never answered ({}), so the load was not the one that was asked for. Look at the server's own log and limits.",
                listed.join(", ")
            )
        }
        Doubt::NotConserved([sent, received, echoed, returned]) => format!(
            "bytes got lost on the way: the client sent {sent}, the server received {received} and sent {echoed}, the client received {returned}. All four are equal when every byte is echoed."
        ),
        Doubt::Throttled(quotas) => throttled(quotas),
        Doubt::Disturbed(disturbance) => disturbed(disturbance),
        Doubt::Unaccounted(found) => unaccounted(*found),
        Doubt::RateMissed { share, by_client } => rate_missed(*share, *by_client, cause),
        Doubt::ClientBound(bottleneck) => client_bound(*bottleneck, cause),
        Doubt::OutOfLaw {
            accounted,
            connections,
        } => format!(
            "throughput × mean time accounts for {accounted:.1} of {connections} connections: the figures contradict each other (Little's law), as when requests are never answered. Look for lost replies and a stalled client."
        ),
        Doubt::Unstable(first, second) => format!(
            "it changed its pace: {first:.0} messages/s in its first half, {second:.0} in its second. {}",
            follows(cause).unwrap_or_else(|| "Let it run longer (--rounds), and see what else this machine does.".to_owned())
        ),
    }
}

fn died(death: &Death) -> String {
    match death {
        Death::Server(why) => format!(
            "the server ended before the run did ({why}); what was measured until then is shown. See why it ended, then run again."
        ),
        Death::Client(why) => {
            format!("the client ended before the run did ({why}); what was measured until then is shown.")
        }
    }
}

fn disturbed(disturbance: &Disturbance) -> String {
    let causes: Vec<_> = disturbance.causes.iter().map(|one| cause(*one)).collect();
    format!(
        "the machine disturbed {} of {} cycles ({}), so too few are left. Stop other programs, or wait for a quiet machine.",
        disturbance.spoilt,
        disturbance.cycles,
        causes.join("; ")
    )
}

/// What disturbed a slice, in words.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::ClientLate => "the client sent late by itself",
        Cause::ClientWaited => "the client waited for a CPU",
        Cause::Stolen => "the hypervisor took CPU away",
        Cause::Others => "other programs ran on the CPUs of server or client",
    }
}

/// What stands in place of a remedy when a cause is named already.
fn follows(cause: Option<Verdict>) -> Option<String> {
    Some(format!("That follows from `{}`.", cause?))
}

fn throttled(quotas: &[Throttling]) -> String {
    let files: BTreeSet<&str> = quotas.iter().map(|quota| quota.file.as_str()).collect();
    let each = files.into_iter().filter_map(|file| {
        let of_file = || quotas.iter().filter(|quota| quota.file == file);
        let first = of_file().next()?;
        let sides: Vec<_> = of_file().map(|quota| quota.side.to_string()).collect();
        let most = of_file().map(|quota| quota.stopped_share).fold(0.0, f64::max);
        Some(format!(
            "a CPU quota stopped threads of the {} for {:.0} % of the time ({file} is `{}`: microseconds of CPU per period)",
            sides.join(" and the "),
            most * 100.0,
            first.value
        ))
    });
    let each: Vec<_> = each.collect();
    format!(
        "{}. CPU and latency are those of the quota. Raise or remove it.",
        each.join("; ")
    )
}

fn unaccounted(found: Unaccounted) -> String {
    format!(
        "the servers' CPUs did {:.0} % of a core more than its account explains ({:.0} %), while it was under load. Its work may \
         be done by a process that the lab does not see, or by the kernel's threads. Start it so that all its processes descend \
         from its command.",
        found.percent, found.own_percent
    )
}

fn rate_missed(share: f64, by_client: bool, cause: Option<Verdict>) -> String {
    let seen = format!(
        "only {:.1} % of what was offered was replied to in time",
        share * 100.0
    );
    match follows(cause) {
        Some(follows) => format!("{seen}. {follows}"),
        None if by_client => format!(
            "{seen}, because of the client (see client-bound): CPU and latency are not those of the offered load."
        ),
        None => format!(
            "{seen}, so CPU and latency are those of an overloaded server. Offer less (--rate), or give the servers more CPUs."
        ),
    }
}

fn client_bound(bottleneck: Bottleneck, cause: Option<Verdict>) -> String {
    let seen = match bottleneck {
        Bottleneck::Busy(share) => format!(
            "the client's busiest thread was at work {:.0} % of the time",
            share * 100.0
        ),
        Bottleneck::Waited(share) => format!(
            "the client waited for a CPU {:.0} % of the time, because other programs had it",
            share * 100.0
        ),
        Bottleneck::Late(micros) => format!(
            "the client sent late by itself ({:.1} ms at the 99th percentile)",
            micros / 1000.0
        ),
        Bottleneck::Waiting { late, connections } => {
            format!(
                "the client sent late by itself: {late:.1} of {connections} connections were waiting for it"
            )
        }
    };
    let remedy = follows(cause).unwrap_or_else(|| {
        match bottleneck {
            Bottleneck::Waited(_) => {
                "Stop the other programs, or give the client CPUs that nothing else uses (--client-cpus)."
            }
            _ => "Give it more CPUs (--client-cpus), or offer less (--rate).",
        }
        .to_owned()
    });
    format!("{seen}, so it may be the client that was measured. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::machine_part::Side;

    #[test]
    fn each_reason_says_what_was_seen() {
        let disturbance = Disturbance {
            spoilt: 3,
            cycles: 4,
            causes: vec![Cause::Others, Cause::ClientLate],
        };
        let counted = vec![("reset".to_owned(), 2), ("timeout".to_owned(), 3)];
        for (doubt, named) in [
            (
                Doubt::Died(Death::Server("killed by signal 9".to_owned())),
                "killed by signal 9",
            ),
            (Doubt::NotMeasured, "stopped before its first slice"),
            (Doubt::Errors(counted), "2 × reset, 3 × timeout"),
            (Doubt::Disturbed(disturbance), "3 of 4 cycles (other programs ran"),
            (Doubt::ClientBound(Bottleneck::Late(1_500.0)), "1.5 ms"),
            (
                Doubt::Throttled(vec![quota(Side::Server), quota(Side::Client)]),
                "of the server and the client for 31 % of the time (/sys/cpu.max is `120000 100000`",
            ),
            (
                Doubt::Unaccounted(Unaccounted {
                    percent: 44.0,
                    own_percent: 1.0,
                }),
                "44 % of a core more than its account explains (1 %)",
            ),
            (
                Doubt::OutOfLaw {
                    accounted: 47.0,
                    connections: 50,
                },
                "47.0 of 50",
            ),
        ] {
            let said = reason(&doubt, None);
            assert!(said.contains(named), "{said}");
        }
    }

    fn quota(side: Side) -> Throttling {
        Throttling {
            side,
            file: "/sys/cpu.max".to_owned(),
            value: "120000 100000".to_owned(),
            stopped_seconds: 3.1,
            stopped_share: 0.31,
        }
    }

    #[test]
    fn the_cause_alone_has_a_remedy() {
        let doubts = [
            Doubt::Throttled(vec![quota(Side::Client)]),
            Doubt::RateMissed {
                share: 0.5,
                by_client: false,
            },
            Doubt::ClientBound(Bottleneck::Waited(0.7)),
        ];
        let [cause, missed, bound] = &all(&doubts)[..] else {
            panic!("a reason is missing");
        };
        assert!(cause.contains("Raise or remove it"), "{cause}");
        for said in [missed, bound] {
            assert!(said.ends_with("That follows from `throttled`."), "{said}");
        }
        // By itself each has its own.
        let [missed, bound] = &all(&doubts[1..])[..] else {
            panic!("a reason is missing");
        };
        assert!(missed.contains("--rate") && bound.contains("Stop the other programs"));
    }
}
