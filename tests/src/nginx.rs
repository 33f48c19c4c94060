//! nginx with its RTMP module: an RTMP server that is not MediaMTX.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::Certificate;
use crate::processes::Spawned;
use crate::waiting::wait_until;
use crate::{http, ports};

/// A running nginx with one RTMP application, `live`.
pub struct Nginx {
    rtmp: u16,
    http: u16,
    folder: TempDir,
    process: Spawned,
}

impl Nginx {
    /// Starts it on free ports.
    ///
    /// # Panics
    /// When nginx or its RTMP module is not installed.
    #[track_caller]
    pub fn start() -> Self {
        let (rtmp, http) = (ports::tcp(), ports::tcp());
        let folder = tempfile::tempdir().expect("a temp folder");
        fs::write(folder.path().join("nginx.conf"), configuration(rtmp, http))
            .expect("a writable temp folder");
        let process = launch(&folder);
        let server = Self {
            rtmp,
            http,
            folder,
            process,
        };
        server.wait_until_up();
        server
    }

    /// Ends it, cutting its connections.
    pub fn stop(&mut self) {
        self.process.stop(Duration::from_secs(5));
    }

    /// Starts it again on the same ports.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = launch(&self.folder);
        self.wait_until_up();
    }

    #[track_caller]
    fn wait_until_up(&self) {
        wait_until("nginx", Duration::from_secs(5), || self.stat().is_some());
    }

    /// `rtmp://` URL of a stream.
    pub fn rtmp(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.rtmp)
    }

    /// Whether somebody publishes a stream of this name.
    pub fn has_publisher(&self, name: &str) -> bool {
        let stat = self.stat().unwrap_or_default();
        let stream = stat
            .split("<stream>")
            .find(|stream| stream.contains(&format!("<name>{name}</name>")));
        stream.is_some_and(|stream| stream.contains("<publishing/>"))
    }

    /// nginx' log: info level, with a line for each RTMP command.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The server's process.
    pub fn process(&self) -> &Spawned {
        &self.process
    }

    fn stat(&self) -> Option<String> {
        http::get(&format!("http://127.0.0.1:{}/stat", self.http)).ok()
    }
}

fn launch(folder: &TempDir) -> Spawned {
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(folder.path())
        .args(["-e", "stderr", "-c", "nginx.conf"]);
    // Debian puts the server into a folder that is not on every user's path.
    command.env(
        "PATH",
        format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()),
    );
    Spawned::start("nginx", command)
}

fn configuration(rtmp: u16, http: u16) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{}}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{rtmp};
    application live {{ live on; drop_idle_publisher 10s; }}
  }}
}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{http};
    location /stat {{ rtmp_stat all; }}
  }}
}}
"
    )
}

/// nginx as people put it in front of other servers: TLS, and a prefix of the path.
pub struct TlsProxy {
    port: u16,
    _folder: TempDir,
    _process: Spawned,
}

impl TlsProxy {
    /// Passes what is asked below `prefix` on to `upstream`, both with a slash at the end.
    ///
    /// # Panics
    /// When nginx is not installed or does not come up.
    #[track_caller]
    pub fn start(certificate: &Certificate, prefix: &str, upstream: &str) -> Self {
        let port = ports::tcp();
        let folder = tempfile::tempdir().expect("a temp folder");
        certificate.write(folder.path());
        let configuration = format!(
            "daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    location {prefix} {{ proxy_pass {upstream}; }}
  }}
}}
"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).expect("a writable temp folder");
        let process = launch(&folder);
        wait_until("nginx", Duration::from_secs(5), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            port,
            _folder: folder,
            _process: process,
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
