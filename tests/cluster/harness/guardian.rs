//! What root does to a machine for a test, and undoes when the test is over, however it ends.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// Whoever undoes it: a shell whose standard input ends with this value, or with the process.
pub struct Guardian(Child);

impl Guardian {
    /// Does one thing, and another when it is over. `None`: this user, or this machine, cannot.
    pub fn new(done: &str, undone: &str) -> Option<Self> {
        let script = format!(
            "trap : HUP INT TERM; {{ {done}; }} >/dev/null 2>&1 && echo done || echo failed; read -r _; {undone}"
        );
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guardian = Self(shell.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(guardian.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (line == "done\n").then_some(guardian)
    }

    /// No packet from or to a port of this machine arrives, and nobody is told.
    pub fn partition(port: u16) -> Option<Self> {
        let table = format!("inet token_broker_test_{port}");
        let chain =
            format!("type filter hook input priority 0\ntcp dport {port} drop\ntcp sport {port} drop");
        let done = format!("echo 'table {table} {{\nchain cut {{\n{chain}\n}}\n}}' | nft -f -");
        Self::new(&done, &format!("nft delete table {table} 2>/dev/null"))
    }

    /// A small disk of its own at a path.
    pub fn small_disk(path: &std::path::Path) -> Option<Self> {
        let path = path.display();
        Self::new(&format!("mount -t tmpfs -o size=2m none {path}"), &format!("umount -l {path}"))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
