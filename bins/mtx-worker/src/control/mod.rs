//! The control channel: whoever started the worker adds and removes outputs while the stream runs, and hears how they fare.
//!
//! The channel is a Unix stream socket that the worker inherits, such as one end of `socketpair(2)`, with JSON lines in both
//! directions. `--control-fd N` names its descriptor. URLs on it stand in no process list. They are the same as of
//! `--output`; `RTMP_STREAM_KEY` and `--key-file` are only for that option.
//!
//! To the worker goes the desired state, always as a whole:
//!
//! ```json
//! {"generation":7,"outputs":[{"id":"main","url":"rtmp://host/app/key"},{"id":"backup","url":"rtmps://…"}]}
//! ```
//!
//! New outputs start, with the picture since the last key frame; missing ones send what is queued, and end; those with the
//! same id and URL go on untouched. The options' outputs have the ids `1`, `2`, …, and their URLs include the key of
//! `RTMP_STREAM_KEY` or `--key-file`. An output may carry marks of where the stream has been, 16 hexadecimal digits each,
//! with commas between them: `{"id":"main","url":"rtmp://…","via":"00000000000000aa,00000000000000cc"}`. So is each list
//! in `MTX_WORKER_VIA`, which marks the options' outputs. Marks count for new outputs; an output that goes on keeps its own.
//!
//! Each line is answered:
//!
//! ```json
//! {"generation":7,"applied":true}
//! {"generation":7,"error":"the output rtmp://host/app/*** is given twice"}
//! {"error":"a line of more than 65536 bytes"}
//! ```
//!
//! `applied` says that it was set going; `error`, that nothing has changed. A generation older than the last one applied is
//! refused. The last one may come again, with the same outputs, and is answered again. Between answers come reports, one
//! whenever an output's state or its reason changes:
//!
//! ```json
//! {"id":"main","output":"rtmp://host/app/***","state":"retrying","reason":"the server closed the connection"}
//! ```
//!
//! `state` is `connecting`, `streaming` (media flows from the input to this output), `retrying` (it or the input is lost, and
//! tried again) or `lost` (its retries are used up; it is tried again after a pause, while others go on, and at once when
//! none of those is left). Of changes that
//! come quicker than they are read, the last one is told. A removed output is reported no more. A worker that has lost every
//! output ends, as it does without a channel.
//!
//! When the other side closes the channel, the worker goes on with the outputs it has, and ends if there are none.

mod channel;
mod descriptor;
mod desired;
mod lines;

pub(crate) use channel::Channel;
pub(crate) use descriptor::inherited_socket;
pub(crate) use desired::Outputs;
#[cfg(test)]
pub(crate) use desired::WantedOutput;
