//! nginx before all replicas, as an operator would have it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::failure::{Doing as _, Failure, Result};

const STARTS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What comes in at an address, and among whom it is shared.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) listen: SocketAddr,
    pub(crate) to: Vec<SocketAddr>,
}

/// Starts it in a folder of its own; it ends when the value is dropped.
pub(crate) async fn start(dir: &Path, fronts: &[Front]) -> Result<Child> {
    fs::create_dir_all(dir).doing("nginx's folder")?;
    let file = dir.join("nginx.conf");
    fs::write(&file, configuration(fronts)).doing("nginx's configuration")?;
    let nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"];
    let program = nginx.into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
    let mut command = Command::new(program);
    command.arg("-p").arg(dir).arg("-c").arg(&file).arg("-e").arg(dir.join("error.log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child =
        command.spawn().doing("nginx does not start (Debian: apt-get install nginx-light)")?;
    let listening = async {
        for front in fronts {
            while TcpStream::connect(front.listen).await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        }
    };
    let log = || fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    timeout(STARTS_WITHIN, listening)
        .await
        .map_err(|_| Failure::new(format!("nginx does not listen:\n{}", log())))?;
    Ok(child)
}

/// One process, as whoever starts it, with everything below its folder.
fn configuration(fronts: &[Front]) -> String {
    let fronts: String = fronts.iter().enumerate().map(front).collect();
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nworker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         proxy_set_header Host localhost;\nproxy_buffering off;\nproxy_request_buffering off;\n\
         proxy_connect_timeout 2s;\nproxy_read_timeout 90s;\nproxy_send_timeout 90s;\n\
         {fronts}}}\n"
    )
}

fn front((index, Front { listen, to }): (usize, &Front)) -> String {
    // None is left out for having failed: it is one of the replicas all the same.
    let servers: String =
        to.iter().map(|address| format!("server {address} max_fails=0; ")).collect();
    format!(
        "upstream front{index} {{ {servers}keepalive 8; }}\n\
         server {{ listen {listen}; location / {{ proxy_pass http://front{index}; }} }}\n"
    )
}
