//! One connection: lines in, answers and reports out.

use std::io;
use std::os::unix::net::UnixStream as Inherited;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::desired::{Answer, Desired, Outputs};
use super::lines::{LONGEST_LINE, Line, Lines};
use crate::state::Status;

/// The last reports must not hold up the worker's end.
const FINISH_TIMEOUT: Duration = Duration::from_millis(100);

/// The worker's side of the control channel.
pub(crate) struct Channel {
    socket: UnixStream,
    lines: Lines,
    desired: Desired,
    /// What was not sent yet: an answer or a report. Nothing more is read or told before it is sent, so it stays small.
    out: Vec<u8>,
}

impl Channel {
    /// To be called within the runtime.
    pub(crate) fn new(socket: Inherited) -> io::Result<Self> {
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            lines: Lines::default(),
            desired: Desired::default(),
            out: Vec::new(),
        })
    }

    /// Answers lines and reports changes until the other side closes. `apply` puts outputs into force, all or none. Safe to
    /// cancel.
    pub(crate) async fn serve(
        &mut self,
        status: &Status,
        mut apply: impl FnMut(&Outputs) -> anyhow::Result<()>,
    ) -> io::Result<()> {
        loop {
            self.flush().await?;
            tokio::select! {
                line = self.lines.next(&mut self.socket) => {
                    let answer = match line? {
                        Line::End => return Ok(()),
                        Line::Whole(line) => self.desired.answer(&line, &mut apply),
                        Line::TooLong => Answer::Unreadable {
                            error: format!("a line of more than {LONGEST_LINE} bytes"),
                        },
                    };
                    self.add(&answer)?;
                }
                report = status.next_report() => self.add(&report)?,
            }
        }
    }

    /// Tells what is left to tell, if the other side listens.
    pub(crate) async fn finish(mut self, status: &Status) {
        let rest = async {
            while let Some(report) = status.take_report() {
                self.add(&report)?;
            }
            self.flush().await
        };
        // The worker ends, whether somebody hears of it or not.
        let _: Result<io::Result<()>, _> = timeout(FINISH_TIMEOUT, rest).await;
    }

    fn add(&mut self, message: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, message)?;
        self.out.push(b'\n');
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            let written = self.socket.write(&self.out).await?;
            self.out.drain(..written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join;
    use tokio::io::AsyncReadExt;

    const LINE: &[u8] = b"garbage\n";
    const LINES: usize = 5_000;

    #[tokio::test]
    async fn a_channel_that_nobody_reads_holds_little_and_loses_no_answer() {
        let (ours, theirs) = Inherited::pair().unwrap();
        for socket in [&ours, &theirs] {
            socket.set_nonblocking(true).unwrap();
        }
        let mut channel = Channel::new(ours).unwrap();
        let status = Status::new();
        let (mut answers, mut lines) = UnixStream::from_std(theirs).unwrap().into_split();
        let mut written = 0;
        let mut write = async || {
            while written < LINES * LINE.len() {
                written += lines.write(&LINE[written % LINE.len()..]).await.unwrap();
            }
            lines.shutdown().await.unwrap();
        };
        let unread = join(write(), channel.serve(&status, |_| Ok(())));
        assert!(timeout(Duration::from_millis(300), unread).await.is_err());
        assert!(channel.out.len() < 1024, "{} bytes", channel.out.len());
        let mut read = Vec::new();
        let all = async {
            let served = async {
                channel.serve(&status, |_| Ok(())).await.unwrap();
                drop(channel);
            };
            join(join(write(), served), answers.read_to_end(&mut read)).await
        };
        timeout(Duration::from_secs(20), all)
            .await
            .unwrap()
            .1
            .unwrap();
        let count = read.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(count, LINES);
    }
}
