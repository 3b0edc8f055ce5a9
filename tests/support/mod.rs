//! A tiny server that answers each request with whatever bytes a test wrote down, as slowly as it wrote them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// What to do after reading one request.
pub enum Step {
    /// Write these bytes.
    Send(Vec<u8>),
    /// Do nothing for a while.
    Wait(Duration),
    /// Close the connection.
    Close,
    /// Wait until the client closes, then tell.
    Watch,
}

pub struct Server {
    pub url: String,
    pub connections: Arc<AtomicUsize>,
    /// Request heads and bodies, in order.
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Told when a watched client has gone.
    pub gone: mpsc::Receiver<()>,
}

/// `HTTP/1.1 {status}` with these headers and body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Step> {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = lines.concat();
    let text = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    vec![Step::Send(text.into())]
}

/// The head of a stream that ends with the connection.
pub fn stream_head() -> Step {
    Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec())
}

/// Serves `answers` in order, then closes every connection.
pub fn serve(answers: Vec<Vec<Step>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (tell, gone) = mpsc::channel();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let (count, seen) = (Arc::clone(&connections), Arc::clone(&requests));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let (answers, seen, tell) = (Arc::clone(&answers), Arc::clone(&seen), tell.clone());
            thread::spawn(move || connection(stream, &answers, &seen, &tell));
        }
    });
    Server { url, connections, requests, gone }
}

fn connection(
    mut stream: TcpStream,
    answers: &Mutex<VecDeque<Vec<Step>>>,
    seen: &Mutex<Vec<String>>,
    tell: &mpsc::Sender<()>,
) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut stream) {
        seen.lock().unwrap().push(request);
        let Some(steps) = answers.lock().unwrap().pop_front() else { return };
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Step::Wait(time) => thread::sleep(time),
                Step::Close => return,
                Step::Watch => {
                    let _ = stream.read(&mut [0]);
                    let _ = tell.send(());
                    return;
                }
            }
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
