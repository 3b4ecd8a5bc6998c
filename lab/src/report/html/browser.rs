//! A browser without a window, told what to do over a pair of pipes (the DevTools protocol, a message a zero byte).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Debian's, and what others call it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// It keeps to itself: no window, no update, no telemetry, nothing of the user's.
const FLAGS: &str = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking \
                     --disable-component-update --disable-sync --disable-default-apps --disable-extensions --no-first-run \
                     --mute-audio --hide-scrollbars --remote-debugging-pipe";
/// Far beyond what anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take to close by itself.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// A running browser with one page; killed when dropped, and its folder with it.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    events: Vec<Value>,
    session: Option<String>,
    last: u64,
    /// Its profile, and whatever else it writes.
    folder: tempfile::TempDir,
}

/// How the page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How wide the window is, in CSS pixels.
    pub width: u32,
    /// Whether the reader wants it dark.
    pub dark: bool,
}

impl Browser {
    /// Starts it; `None` when there is none here.
    pub fn start() -> Option<Browser> {
        let there = |name: &&&str| {
            let asked = Command::new(name).arg("--version").output();
            asked.is_ok_and(|output| output.status.success())
        };
        let name = NAMES.iter().find(there)?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        // It reads commands from descriptor 3 and answers on 4.
        let script = format!(
            "exec {name} {FLAGS} --user-data-dir='{path}/profile' about:blank 3<&0 4>&1 </dev/null >/dev/null 2>'{path}/stderr'"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            // What it keeps beside its profile goes there too.
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_CACHE_HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        sys::child::die_with_parent(&mut command);
        let mut process = command.spawn().unwrap();
        let (sender, messages) = channel();
        let answers = BufReader::new(process.stdout.take().unwrap());
        // Ends with the browser.
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            commands: process.stdin.take().unwrap(),
            process,
            messages,
            events: vec![],
            session: None,
            last: 0,
            folder,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a file and waits until it is shown whole. Returns what the page did meanwhile: messages on the console and
    /// requests, that for the file itself left out.
    pub fn open(&mut self, file: &Path, look: Look) -> Vec<String> {
        let scheme = if look.dark { "dark" } else { "light" };
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600 }),
        );
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        self.events.clear();
        let url = format!("file://{}", file.display());
        self.ask("Page.navigate", json!({ "url": url }));
        self.await_event("Page.loadEventFired");
        // Two frames later all is laid out, and what was to be said has been said.
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))",
        );
        let noise = |event: &Value| {
            let text = match event["method"].as_str()? {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => event["params"].to_string(),
                "Log.entryAdded" => event["params"]["entry"].to_string(),
                "Network.requestWillBeSent" => event["params"]["request"]["url"].to_string(),
                _ => return None,
            };
            (text != format!("\"{url}\"")).then_some(text)
        };
        self.events.iter().filter_map(noise).collect()
    }

    /// What an expression is worth on the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The whole page as a PNG in base64.
    pub fn picture(&mut self) -> String {
        let size = self.ask("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let options = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.ask("Page.captureScreenshot", options);
        answer["data"].as_str().unwrap().to_owned()
    }

    /// Sends a command and waits for its answer.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next(deadline, method);
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn await_event(&mut self, method: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.events.iter().all(|event| event["method"] != method) {
            let message = self.next(deadline, method);
            self.events.push(message);
        }
    }

    fn next(&mut self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        self.messages.recv_timeout(left).unwrap_or_else(|error| {
            let stderr = std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            let why = match error {
                RecvTimeoutError::Timeout => "does not answer",
                RecvTimeoutError::Disconnected => "is gone",
            };
            panic!("the browser {why} ({what}):\n{stderr}")
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to close it ends its helpers first, so that nobody writes into its folder any more. It may be gone already.
        let _ = self
            .commands
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + CLOSE_PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
