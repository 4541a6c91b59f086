//! Static files (`-F`, `--staticdir`).

use super::Body;
use crate::{config::StaticFile, flow::file_options, net::path_segments};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Response, StatusCode, Uri,
    body::{Bytes, Frame},
    header::{self, HeaderValue},
};
use std::{io, path::Path};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncReadExt,
};

/// Maximum number of bytes to read from a file at once.
const PIECE: usize = 64 * 1024;

/// A response with the content of the file, which is read while it is sent.
///
/// # Errors
/// 404 if there is no such regular file, 500 if it cannot be read.
pub async fn serve(file: &StaticFile) -> Result<Response<Body>, StatusCode> {
    serve_path(&file.path, file.content_type.clone()).await
}

/// A response with the content of the file at the path of a request, below a directory.
///
/// # Errors
/// 404 if there is no such regular file, 500 if it cannot be read.
pub async fn serve_from(directory: &Path, target: &Uri) -> Result<Response<Body>, StatusCode> {
    let mut path = directory.to_owned();
    path.extend(path_segments(target.path()).ok_or(StatusCode::NOT_FOUND)?);
    if tokio::fs::metadata(&path).await.map_err(status)?.is_dir() {
        if !target.path().ends_with('/') {
            return redirect_to_directory(target);
        }
        path.push("index.html");
    }
    let content_type = mime_guess::from_path(&path).first_raw().unwrap_or("application/octet-stream");
    // Browsers take text without a character set for another one than UTF-8.
    let content_type = match content_type.starts_with("text/") {
        true => HeaderValue::from_str(&format!("{content_type}; charset=utf-8")),
        false => Ok(HeaderValue::from_static(content_type)),
    };
    serve_path(&path, content_type.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?).await
}

/// Relative links of a page need the slash.
fn redirect_to_directory(target: &Uri) -> Result<Response<Body>, StatusCode> {
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    // A path that starts with two slashes would be the URL of another host.
    let location = format!("/{}/{query}", target.path().trim_matches('/'));
    let body = Full::default().map_err(|never| match never {});
    Response::builder()
        .status(StatusCode::MOVED_PERMANENTLY)
        .header(header::LOCATION, location)
        .body(Body::new(body))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn status(error: io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            StatusCode::NOT_FOUND
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Opens a regular file, and tells its length. To open a FIFO would take a thread until somebody writes to it, and to open a device
/// can have effects, so the type is checked first; and again afterwards, in case that the file was replaced in between.
async fn open_regular(path: &Path) -> Result<(File, u64), StatusCode> {
    if !tokio::fs::metadata(path).await.map_err(status)?.is_file() {
        return Err(StatusCode::NOT_FOUND);
    }
    let opened = OpenOptions::from(file_options::non_blocking()).read(true).open(path).await.map_err(status)?;
    let metadata = opened.metadata().await.map_err(status)?;
    if metadata.is_file() { Ok((opened, metadata.len())) } else { Err(StatusCode::NOT_FOUND) }
}

async fn serve_path(path: &Path, content_type: HeaderValue) -> Result<Response<Body>, StatusCode> {
    let (opened, length) = open_regular(path).await?;
    // The response must not exceed its Content-Length, even if the file grows meanwhile.
    let pieces = stream::try_unfold(opened.take(length), |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, length)
        .body(Body::new(StreamBody::new(pieces)))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
