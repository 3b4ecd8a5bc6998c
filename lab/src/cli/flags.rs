//! The flags as they are typed: what each is called, and its help.

use std::path::PathBuf;
use std::time::Duration;

use model::epoll::{Accept, Trigger};
use model::pace::Arrivals;
use sys::cpu::CpuSet;

use super::contenders::DEFAULT_CONTENDERS;
use super::typed::Typed;
use super::values;
use crate::exit::EXIT_CODES;
use model::rule::Rule;
use model::rule::Undecided;

/// The flags of `lab run`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Scenarios: `few`, `many`, or the path of a .toml file; several with commas
    #[arg(
        long,
        env = "SCENARIOS",
        value_delimiter = ',',
        default_value = "few,many",
        value_name = "LIST|FILE.toml"
    )]
    pub(super) scenario: Vec<String>,
    /// Messages per second over all connections, or `auto`: a share of the slowest contender's capacity
    /// [default: the scenario's, auto]
    #[arg(long, env, value_name = "auto|N", allow_hyphen_values = true)]
    pub(super) rate: Option<String>,
    /// Connections to each contender [default: the scenario's]
    #[arg(long, env, value_parser = values::connections, value_name = "N")]
    pub(super) connections: Option<u64>,
    /// Bytes of a message [default: the scenario's]
    #[arg(long, env, value_parser = values::message_bytes, value_name = "BYTES")]
    pub(super) message_bytes: Option<u64>,
    /// Threads that each server may work with [default: the number of the servers' CPUs]
    #[arg(long, env, value_parser = values::workers, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Passed to epoll and uring: how long a batch's worker lets further messages gather before it waits again, such as
    /// 50us: slower answers for cheaper ones
    #[arg(long, env, value_parser = values::duration, value_name = "DURATION")]
    pub(super) linger: Option<Duration>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The flags of `lab sweep`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "One of --connections, --rate, --workers, --linger and --message-bytes is a list; the others may have one value. \
    Each value of --connections, --rate and --message-bytes is a scenario of its own. Unless the scenario or --rate says a \
    rate, it is chosen anew for each: a share of what the slowest contender can do there. Values of --workers and --linger \
    are contenders side by side in one scenario, so that their slices are paired; 0 is added to those of --linger, and \
    contenders that cannot linger take part at 0 alone. Contenders that choose the number of their threads themselves \
    (threads, go-net) take part once beside those of --workers."
)]
pub struct SweepArgs {
    /// The scenario: `few`, `many`, or the path of a .toml file
    #[arg(long, env = "SCENARIOS", default_value = "few", value_name = "NAME|FILE.toml")]
    pub(super) scenario: String,
    /// Connections to each contender, such as 10,50,500,5000,10000
    #[arg(long, env, value_name = "LIST")]
    pub(super) connections: Option<String>,
    /// Messages per second over all connections, such as 5000,20000,40000
    #[arg(long, env, value_name = "LIST", allow_hyphen_values = true)]
    pub(super) rate: Option<String>,
    /// Threads that each server may work with, such as 1,2,4
    #[arg(long, env, value_name = "LIST")]
    pub(super) workers: Option<String>,
    /// How long epoll and uring let messages gather, such as 20us,50us,100us
    #[arg(long, env, value_name = "LIST")]
    pub(super) linger: Option<String>,
    /// Bytes of a message, such as 100,1000,10000
    #[arg(long, env, value_name = "LIST")]
    pub(super) message_bytes: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The flags of `lab compare`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "A rule of --fail-if reads as after over before: `few: epoll cpu_micros_per_message > 1.05` fails when a message \
    costs epoll over 5 % more after than before. `few: tokio/epoll cpu_micros_per_message > 1.05` asks for the ratio of the \
    two, after over before, in which a machine's drift cancels. A rule holds when the whole interval is beyond its bound. What cannot be known \
    fails with exit code 5: a run that is not ok or was stopped, two machines without a baseline, two loads. Give both runs the same --rate: \
    rates over 2 % apart are two loads, and `auto` measures it anew each time."
)]
pub struct CompareArgs {
    /// A result.json, or the folder that holds it: before
    pub before: PathBuf,
    /// Another one: after
    pub after: PathBuf,
    /// Fail (exit code 3) when this holds; repeatable
    #[arg(long, env = "COMPARE_FAIL_IF", value_delimiter = ';', value_name = "RULE")]
    pub fail_if: Vec<Rule>,
    /// What it means when the bound of a rule lies within the interval: fail (exit code 4) or pass
    #[arg(
        long,
        env = "COMPARE_UNDECIDED",
        value_parser = values::undecided(),
        default_value = "fail",
        value_name = "fail|pass"
    )]
    pub undecided: Undecided,
    /// Write it to this file as well, as markdown
    #[arg(long, env = "COMPARE_OUTPUT", value_name = "FILE.md")]
    pub output: Option<PathBuf>,
}

/// The flags that `lab run` and `lab sweep` have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Contenders in order: names, `engines` (our server's), `own` (the --contender ones), or `all` (both, and the other
    /// servers of this repository that are built: see `lab list`); the same twice makes a null check
    #[arg(
        long,
        env,
        value_delimiter = ',',
        default_value = DEFAULT_CONTENDERS,
        value_name = "LIST"
    )]
    pub(super) contenders: Vec<String>,
    /// A contender of your own: name=mine,echo=HOST:PORT[,metrics=URL] (it runs already) or
    /// name=mine,command="./mine --port {port}"[,metrics=URL with {metrics_port}] (the lab starts it, with
    /// its own environment but for the variables of our server's flags, such as METRICS and READ_BUFFER); repeatable, in
    /// the environment separated by semicolons
    #[arg(long, env, value_name = "DEFINITION")]
    pub(super) contender: Vec<String>,
    /// To whom all others are compared [default: epoll; without it the first contender]
    #[arg(long, env, value_name = "NAME")]
    pub(super) baseline: Option<String>,
    /// How long a slice is [default: the scenario's, 250ms]
    #[arg(long, env, value_parser = values::duration, value_name = "DURATION")]
    pub(super) slice: Option<Duration>,
    /// Starts of each contender; one round has no interval [default: the scenario's, 6]
    #[arg(long, env, value_parser = values::rounds, value_name = "N")]
    pub(super) rounds: Option<u32>,
    /// Slices of each contender per round [default: the scenario's, 5]
    #[arg(long, env, value_parser = values::cycles, value_name = "N")]
    pub(super) cycles: Option<u32>,
    /// Go on with rounds until every interval of CPU per message is at most this far from its ratio, such as 2%
    #[arg(long, env, value_parser = values::percent, value_name = "PERCENT")]
    pub(super) until: Option<f64>,
    /// With --until: begin no further round of a scenario after this time
    #[arg(long, env, default_value = "10m", value_parser = values::duration, value_name = "DURATION")]
    pub(super) max_time: Duration,
    /// Before each further round, wait at most this long until every server that the lab did not start runs as a new
    /// process. The lab says when to restart them, for example with `docker compose restart`
    #[arg(long, env, value_parser = values::duration, value_name = "DURATION")]
    pub(super) await_restarts: Option<Duration>,
    /// When other programs use the CPUs, wait at most this long for them to end before anything is started
    #[arg(long, env, value_parser = values::duration, value_name = "DURATION")]
    pub(super) wait_quiet: Option<Duration>,
    /// Arrivals in open loops: smooth, poisson, or 'burst 1ms'; smooth and bursts drift to and fro by one gap, so that
    /// kernel ticks meet every point of the work [default: the scenario's]
    #[arg(long, env, value_name = "ARRIVALS")]
    pub(super) arrivals: Option<Arrivals>,
    /// Think time in closed loops [default: the scenario's]
    #[arg(long, env, value_parser = values::duration, value_name = "DURATION")]
    pub(super) think_time: Option<Duration>,
    /// A short look: 3 rounds of 2 short slices, under a minute in all
    #[arg(long, env)]
    pub(super) quick: bool,
    /// Where results go
    #[arg(long, env, default_value = "results", value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Seeds the order of starts and of slices, the bootstrap, and random arrivals
    #[arg(long, env, default_value = "1", value_parser = values::seed, value_name = "N")]
    pub(super) seed: u64,
    /// Fail (exit code 3) when this holds, such as 'tokio/epoll cpu_micros_per_message > 1.5' or
    /// 'few: epoll response_micros.p99 > 1000'; it holds when the whole interval is beyond the bound; repeatable
    #[arg(long, env, value_delimiter = ';', value_name = "RULE")]
    pub(super) fail_if: Vec<Rule>,
    /// What it means when the bound of a rule lies within the interval: fail (exit code 4) or pass
    #[arg(long, env, value_parser = values::undecided(), default_value = "fail", value_name = "fail|pass")]
    pub(super) undecided: Undecided,
    /// CPUs of the servers, such as 0-3,6 [default: the first half of the physical cores, or what --client-cpus leaves]
    #[arg(long, env, value_name = "LIST")]
    pub(super) server_cpus: Option<CpuSet>,
    /// CPUs of the clients [default: the last half of the physical cores, or what --server-cpus leaves]
    #[arg(long, env, value_name = "LIST")]
    pub(super) client_cpus: Option<CpuSet>,
    /// Pin nobody to CPUs
    #[arg(long, env, conflicts_with_all = ["server_cpus", "client_cpus"])]
    pub(super) no_pin: bool,
    /// Passed to epoll (and bare): how listening sockets are shared
    #[arg(long, env, value_parser = values::accept())]
    pub(super) accept: Option<Accept>,
    /// Passed to epoll (and bare): edge- or level-triggered
    #[arg(long, env, value_parser = values::trigger())]
    pub(super) trigger: Option<Trigger>,
    /// Passed to epoll (and bare): events for each wait
    #[arg(long, env, value_parser = values::events, value_name = "N")]
    pub(super) events: Option<usize>,
    /// After the measured slices, take a CPU profile of each contender that serves /debug/pprof/profile beside its
    /// metrics, in slices of their own: flame graphs, differences to the baseline, CPU per message by category
    #[arg(long, env)]
    pub(super) profile: bool,
    /// How long each profile takes, in seconds, 1 to 300
    #[arg(
        long,
        env,
        default_value = "5",
        value_parser = values::profile_seconds,
        value_name = "N"
    )]
    pub(super) profile_seconds: u32,
    /// Let dashboards show what CPU goes into: servers of ours that the lab starts sample themselves so many times for each
    /// second of CPU time, 1 to 1000, and whoever else serves /debug/pprof/profile is asked for 2 s of it before the
    /// measured slices; 0 for neither
    #[arg(long, env, default_value = "0", value_parser = values::profile_hz, value_name = "HZ")]
    pub(super) profile_hz: u32,
    /// Where the lab's own metrics are served, or `none`
    #[arg(long, env, default_value = "none", value_name = "ADDR|none")]
    pub(super) metrics: String,
    /// Where the clients' metrics are served, or `none`: the first contender's client on this port, the next one on
    /// the next
    #[arg(long, env, default_value = "none", value_name = "ADDR|none")]
    pub(super) client_metrics: String,
    /// Start again after the last scenario, until stopped
    #[arg(
        long,
        env = "LAB_REPEAT",
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        value_name = "true|false"
    )]
    pub(super) repeat: bool,
    #[arg(skip)]
    pub(super) typed: Typed,
}
