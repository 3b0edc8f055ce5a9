//! A throw-away `PostgreSQL` cluster on this machine, run by a user who is not root.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    process: Child,
    folder: String,
    port: u16,
}

impl Server {
    /// Starts one; `None` where the programs are not installed, which is a failure where CI says it runs.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let text = "not run: PostgreSQL (apt-get install -y postgresql)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
            eprintln!("{text}");
            return None;
        };
        let folder = as_user("mktemp").args(["-d", "/tmp/ferroute-pg-XXXXXX"]).output().unwrap();
        let folder = String::from_utf8(folder.stdout).unwrap().trim().to_owned();
        let data = format!("{folder}/data");
        let made = as_user(programs.join("initdb"))
            .args(["-D", &data, "-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = started(&programs, &folder, port);
        let mut server = Self { process, folder, port };
        server.wait(&programs);
        Some(server)
    }

    /// Kills it, as the system would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        let programs = programs().unwrap();
        self.process = started(&programs, &self.folder, self.port);
        self.wait(&programs);
    }

    fn wait(&mut self, programs: &Path) {
        let begun = Instant::now();
        let port = self.port.to_string();
        let ready = || {
            let mut asked = Command::new(programs.join("pg_isready"));
            asked.args(["-h", "127.0.0.1", "-p", &port]).stdout(Stdio::null()).status().unwrap().success()
        };
        while !ready() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the cluster did not start");
            std::thread::sleep(Duration::from_millis(50));
            if self.process.try_wait().unwrap().is_some() {
                // The sessions of one that was killed go a moment later.
                self.process = started(programs, &self.folder, self.port);
            }
        }
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgresql://tester:secret@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT ends its sessions; the process is a child of ours, so its number is still its own.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
        let _ = as_user("rm").args(["-rf", &self.folder]).status();
    }
}

fn started(programs: &Path, folder: &str, port: u16) -> Child {
    as_user(programs.join("postgres"))
        .args(["-D", &format!("{folder}/data"), "-p", &port.to_string(), "-k", folder])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Where the server's programs are: Debian keeps those of each version apart.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = debian.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.sort();
    found.into_iter().rev().find(|folder| folder.join("initdb").exists())
}

/// A command as somebody else than root, who ends with this process.
fn as_user(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.current_dir("/").args(["--pdeathsig", "KILL"]);
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if root {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg(program.as_ref());
    command
}
