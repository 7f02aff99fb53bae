use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use samara_base::BlobId;

use super::Context;
use crate::{
    event::Done,
    exit::{Code, Failure},
    progress::Bar,
    units::Bytes,
};

/// Bytes that are read and hashed at a time: many enough for the widest vector units, few enough
/// to be hashed while they are in the cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Print the ids of files, as `b3sum` does; needs no store
///
/// A blob's id is the BLAKE3 hash of its bytes. It depends on nothing else.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Id {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let output = &context.output;
        let mut code = Code::Complete;
        for path in &self.files {
            // One bad file does not keep the others from being hashed.
            match hash(path, context) {
                Ok((id, size)) => {
                    let done = Done::new("id", id, size).at(path);
                    output.both(&done, line(&id, path))?;
                }
                Err(failure) => {
                    output.failure(&failure);
                    code = if code == Code::Complete { failure.code } else { code };
                }
            }
        }
        Ok(code)
    }
}

fn hash(path: &Path, context: &Context) -> Result<(BlobId, u64), Failure> {
    if path == Path::new("-") {
        return hash_all(io::stdin().lock(), None, context)
            .map_err(Failure::io("read", Path::new("standard input")));
    }
    let file = File::open(path).map_err(Failure::io("read", path))?;
    let metadata = file.metadata().map_err(Failure::io("read", path))?;
    if metadata.is_dir() {
        let path = path.display();
        let text =
            format!("{path} is a folder; `samara share` and `samara add` print the id of one");
        return Err(Failure::new(Code::Failed, text));
    }
    let total = Some(metadata.len()).filter(|_| metadata.is_file());
    hash_all(file, total, context).map_err(Failure::io("read", path))
}

fn hash_all(
    mut reader: impl Read,
    total: Option<u64>,
    context: &Context,
) -> io::Result<(BlobId, u64)> {
    let bar = Bar::bytes(&context.output);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
        bar.set(hasher.count(), total, format!("hashed {}", Bytes(hasher.count())));
    }
    Ok((BlobId::from_bytes(*hasher.finalize().as_bytes()), hasher.count()))
}

/// The line that `b3sum` prints: a name with a backslash or a line break is escaped, and the line
/// then begins with a backslash.
fn line(id: &BlobId, path: &Path) -> String {
    let name = path.to_string_lossy();
    if name.contains(['\\', '\n', '\r']) && !cfg!(windows) {
        let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        format!("\\{id}  {name}")
    } else {
        format!("{id}  {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_b3sum_does() {
        let id = BlobId::from_bytes([0; 32]);
        let zeros = "0".repeat(64);
        assert_eq!(line(&id, Path::new("a b")), format!("{zeros}  a b"));
        assert_eq!(line(&id, Path::new("a\nb\\c")), format!("\\{zeros}  a\\nb\\\\c"));
    }
}
