//! Sockets alone: what the machine does without a cache.

use crate::failure::Result;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Writes so many values with a head each, two slices a value and many values a call, to a thread that reads them.
pub(super) fn stream(count: u64, value_bytes: usize) -> Result<Duration> {
    let (mut near, mut far) = pair()?;
    let head = [7; 40];
    let values: Vec<Vec<u8>> = (0..VALUES).map(|number| vec![number as u8; value_bytes]).collect();
    let slices: Vec<&[u8]> = values.iter().flat_map(|value| [&head[..], &value[..]]).collect();
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        while far.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let started = Instant::now();
    for _ in 0..count / VALUES {
        // As many as a node puts into one call.
        for batch in slices.chunks(4) {
            let mut gathered: Vec<IoSlice<'_>> = batch.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut left = &mut gathered[..];
            while !left.is_empty() {
                let written = near.write_vectored(left)?;
                IoSlice::advance_slices(&mut left, written);
            }
        }
    }
    drop(near);
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(started.elapsed())
}

/// Round trips of 64 bytes between two threads, one after another, with rests between them.
pub(super) fn ping_pong(count: u64, rest: Duration, mut each: impl FnMut(Duration)) -> Result<()> {
    let (mut near, mut far) = pair()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = [0; 64];
        while far.read(&mut buffer)? > 0 {
            far.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut buffer = [7; 64];
    for _ in 0..count {
        std::thread::sleep(rest);
        let started = Instant::now();
        near.write_all(&buffer)?;
        near.read_exact(&mut buffer)?;
        each(started.elapsed());
    }
    drop(near);
    Ok(echo.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// 16 MiB of 64 KiB values: more than any processor's cache near it.
const VALUES: u64 = 256;
