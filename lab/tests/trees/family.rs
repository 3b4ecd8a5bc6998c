//! Echo servers that are a family of processes: the test binary starts itself as one of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The word that makes the test binary a server: `family SHAPE PORT [MIB [STATUS_FILE]]`.
pub const NAME: &str = "family";

/// What a message costs.
const BURNT: Duration = Duration::from_micros(100);

/// Serves until it is ended.
pub fn main(words: &[String]) {
    let [shape, port, more @ ..] = words else {
        panic!("{words:?} should be a shape and a port");
    };
    if let Some(file) = more.get(1) {
        std::fs::copy("/proc/self/status", file).unwrap();
    }
    let mebibytes = more.first().map_or("0", String::as_str);
    match shape.as_str() {
        "direct" | "brief-processes" | "brief-threads" | "stubborn" => serve(listen(port), shape, mebibytes),
        "child" => wait_for(again(&["direct", port, mebibytes])),
        "grandchild" => wait_for(again(&["child", port, mebibytes])),
        // It leaves its parent, which ends at once.
        "daemon" => {
            let mut command = again(&["direct", port, mebibytes]);
            drop(command.process_group(0).spawn().unwrap());
        }
        "prefork" => {
            let listener = listen(port);
            let mut workers: Vec<_> = (0..2)
                .map(|_| {
                    let socket: OwnedFd = listener.as_fd().try_clone_to_owned().unwrap();
                    again(&["worker", port, mebibytes])
                        .stdin(Stdio::from(socket))
                        .spawn()
                        .unwrap()
                })
                .collect();
            workers.iter_mut().for_each(|worker| drop(worker.wait()));
        }
        "worker" => {
            let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            serve(TcpListener::from(socket), "direct", mebibytes);
        }
        "burn" => burn(),
        other => panic!("no family is like {other}"),
    }
}

fn listen(port: &str) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap()
}

/// This program in another shape.
fn again(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(NAME).args(words);
    command
}

fn wait_for(mut command: Command) {
    command.spawn().unwrap().wait().unwrap();
}

fn serve(listener: TcpListener, shape: &str, mebibytes: &str) {
    // SIGTERM ends all but this one: it is left to its descendants' parent to kill it.
    let _deaf = (shape == "stubborn").then(|| sys::signal::Termination::block().unwrap());
    let held = vec![1_u8; mebibytes.parse::<usize>().unwrap() << 20];
    for stream in listener.incoming().flatten() {
        let shape = shape.to_owned();
        std::thread::spawn(move || {
            // The end of one connection, however it comes, is no business of the others.
            let _ = echo(stream, &shape);
        });
    }
    drop(held);
}

fn echo(mut stream: TcpStream, shape: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut replies = 0_u32;
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        burn();
        replies += 1;
        match shape {
            // Starting a process is dear, so one burns for several messages.
            "brief-processes" if replies.is_multiple_of(10) => {
                again(&["burn", "0"]).spawn()?.wait()?;
            }
            "brief-threads" => {
                let _ = std::thread::spawn(burn).join();
            }
            _ => {}
        }
        stream.write_all(&buffer[..read])?;
    }
}

fn burn() {
    let began = Instant::now();
    while began.elapsed() < BURNT {
        std::hint::spin_loop();
    }
}
