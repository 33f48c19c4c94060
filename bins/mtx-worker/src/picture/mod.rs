//! One picture of a stream, in place of passing it on.

mod decode;
mod jpeg;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, process};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use nix::unistd::{AccessFlags, access};
use thiserror::Error;
use tokio::time::timeout;

use crate::codec::h264::ParameterSets;
use crate::config::Config;
use crate::media::VideoCodec;
use crate::source::{RtspSource, SourceError, SourceItem};
use decode::DecodeError;
use jpeg::JpegError;

/// Decoding can start at a key frame only, and few streams go without one for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no picture.
#[derive(Debug, Error)]
pub(crate) enum PictureError {
    #[error("no picture")]
    Source(#[from] SourceError),
    #[error("{0:#}")]
    Tls(anyhow::Error),
    #[error("no picture: the stream has no video")]
    NoVideo,
    #[error("no picture: the video is {0}, and only H.264 can be decoded here")]
    Codec(&'static str),
    #[error(
        "no picture: no key frame came within {}",
        common::duration::format(PATIENCE)
    )]
    NoKeyFrame,
    #[error("no picture")]
    Decode(#[from] DecodeError),
    #[error("no picture")]
    Jpeg(#[from] JpegError),
    #[error("the picture can't be written to {}: {error}", file.display())]
    Write { file: PathBuf, error: io::Error },
}

/// Refuses a file that could not be written: its folder has to be there and writable, and it must not be one itself.
pub(crate) fn check_place(file: &Path) -> Result<()> {
    let shown = file.display();
    if file.is_dir() {
        bail!("{shown} is a folder: name a file");
    }
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let metadata = fs::metadata(folder).with_context(|| {
        format!(
            "the picture can't be written to {shown}: its folder {} can't be found",
            folder.display()
        )
    })?;
    if !metadata.is_dir() {
        bail!(
            "the picture can't be written to {shown}: {} is not a folder",
            folder.display()
        );
    }
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK).with_context(|| {
        format!(
            "the picture can't be written to {shown}: its folder {} is not writable",
            folder.display()
        )
    })
}

/// Waits for the stream's next key frame, and puts it into `file` as JPEG: whole, or not at all.
pub(crate) async fn take(config: &Config, file: &Path) -> Result<(), PictureError> {
    let start = Instant::now();
    let source = RtspSource::new(config, start).map_err(PictureError::Tls)?;
    let found = timeout(PATIENCE, key_frame(&source)).await;
    source.close().await;
    let (sets, frame) = found.unwrap_or(Err(PictureError::NoKeyFrame))?;
    let picture = decode::decode(&sets, &frame)?;
    let (width, height) = (picture.width, picture.height);
    let picture = jpeg::encode(&picture)?;
    write(file, &picture).map_err(|error| PictureError::Write {
        file: file.to_owned(),
        error,
    })?;
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    log::info!(
        file:% = file.display(), width = width, height = height, bytes = picture.len(),
        milliseconds = milliseconds;
        "picture taken"
    );
    Ok(())
}

/// The next key frame, and the parameter sets it needs.
async fn key_frame(source: &RtspSource) -> Result<(ParameterSets, Bytes), PictureError> {
    let mut session = source.open().await?;
    let mut known = None;
    loop {
        match session.next().await? {
            SourceItem::Tracks(tracks) => {
                let (track, video) = tracks.videos().next().ok_or(PictureError::NoVideo)?;
                match &video.codec {
                    VideoCodec::H264(sets) => known = Some((track, sets.clone())),
                    other => return Err(PictureError::Codec(other.name())),
                }
            }
            SourceItem::Unit(unit) if unit.entry.is_key() => match known {
                Some((track, sets)) if track == unit.track => return Ok((sets, unit.data)),
                _ => {}
            },
            SourceItem::Unit(_) | SourceItem::Discontinuity(_) => {}
        }
    }
}

fn write(file: &Path, picture: &[u8]) -> io::Result<()> {
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // In the same folder, since only within one file system a file can be moved at once.
    let part = format!(".{}.{}.part", name.display(), process::id());
    let part = file.with_file_name(part);
    let written = fs::write(&part, picture).and_then(|()| fs::rename(&part, file));
    if written.is_err() {
        // It may not even exist.
        let _ = fs::remove_file(&part);
    }
    written
}
