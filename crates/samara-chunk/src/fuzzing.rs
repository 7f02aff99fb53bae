//! Properties that the fuzz targets check, for any input. Not a stable API.

use alloc::vec::Vec;

use samara_base::BlobId;

use crate::{
    DecodeProblem, Decoder, Entry, Extensions, Manifest, ManifestBuilder, ManifestEncoder, Mode,
    Mtime, Rules, Step, check_name, check_path, compare_paths, limits::ENTRY_BYTES_MAX,
};

/// Reads the input as a manifest, at once and in pieces, and as a list of paths to make one of.
///
/// # Panics
///
/// If a property does not hold.
pub fn manifest(data: &[u8]) {
    decode(data);
    build(data);
}

/// What decodes encodes to the same bytes, and pieces give the same entries as the whole.
fn decode(data: &[u8]) {
    let whole = Manifest::decode(data);
    let mut rest = data;
    let mut decoder = Decoder::new();
    let mut seen = 0;
    let in_pieces = loop {
        // Grow what is visible until the next step is possible, as a reader of a stream does.
        let mut visible = 1;
        let used = loop {
            let input = rest.get(..visible).unwrap_or(rest);
            match decoder.step(input) {
                Ok(Step::More) if input.len() == rest.len() => break None,
                Ok(Step::More) => {
                    assert!(visible < 2 * ENTRY_BYTES_MAX, "an entry is longer than the longest");
                    visible *= 2;
                }
                Ok(Step::Header { used, .. } | Step::End { used }) => break Some(Ok(used)),
                Ok(Step::Entry { entry, used }) => {
                    seen += 1;
                    assert_eq!(check_path(entry.path), Ok(()));
                    assert!(used <= ENTRY_BYTES_MAX);
                    break Some(Ok(used));
                }
                Err(error) => break Some(Err(error)),
            }
        };
        match used {
            None => break None,
            Some(Err(error)) => break Some(Err(error)),
            Some(Ok(used)) => rest = rest.get(used..).unwrap_or_default(),
        }
        if decoder.is_finished() && rest.is_empty() {
            break Some(Ok(()));
        }
    };
    match (whole, in_pieces) {
        (Ok(manifest), Some(Ok(()))) => {
            assert_eq!(manifest.summary(), decoder.summary());
            assert_eq!(manifest.summary().entries(), seen);
            reencode(&manifest, data);
            for rules in [Rules::UNIX, Rules::APPLE, Rules::WINDOWS, Rules::PORTABLE] {
                if let Err(error) = manifest.check(&rules) {
                    assert!(error.index < seen, "a rule blames an entry that is there");
                }
            }
        }
        (Err(error), None) => assert_eq!(error.problem, DecodeProblem::Truncated),
        (Err(whole), Some(Err(pieces))) => assert_eq!(whole, pieces),
        (whole, pieces) => panic!("{whole:?} at once, {pieces:?} in pieces"),
    }
}

fn reencode(manifest: &Manifest<&[u8]>, data: &[u8]) {
    // The header's extensions are not kept by `Manifest`: read them again.
    let mut decoder = Decoder::new();
    let Ok(Step::Header { extensions, .. }) = decoder.step(data) else {
        panic!("a manifest begins with a header");
    };
    let mut again = Vec::new();
    let mut encoder = ManifestEncoder::with_extensions(extensions, &mut again);
    let mut path = Vec::new();
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        assert!(path.is_empty() || compare_paths(&path, entry.path).is_lt(), "sorted");
        path.clear();
        path.extend_from_slice(entry.path);
        assert_eq!(encoder.push(&entry, &mut again), Ok(()), "what was decoded encodes");
    }
    assert_eq!(encoder.finish(&mut again), manifest.summary());
    assert_eq!(again, data, "one encoding");
}

/// Lines are entries. Whatever the builder takes, the decoder takes.
fn build(data: &[u8]) {
    let mut builder = ManifestBuilder::new();
    for (at, line) in (1..).zip(data.split(|byte| *byte == b'\n')) {
        let (path, rest) =
            line.split_at(line.iter().position(|b| *b == b'>').unwrap_or(line.len()));
        let target = rest.get(1..).unwrap_or_default();
        let mtime = Mtime::new(at % 3 * 1_000_000_000_000 - at, 7);
        let mode = Mode::from_st_mode(u32::try_from(line.len()).unwrap_or_default());
        let extensions = Extensions::decode(target).unwrap_or_default();
        let entry = match line.len() % 4 {
            0 if !target.is_empty() => Entry::symlink(path, target),
            1 => Entry::directory(path, mode, mtime),
            _ => Entry::file(path, mode, mtime, at.unsigned_abs(), BlobId::from_bytes([3; 32])),
        };
        let before = builder.len();
        let pushed = builder.push(&Entry { extensions, ..entry });
        assert_eq!(builder.len(), before + usize::from(pushed.is_ok()));
    }
    let mut out = Vec::new();
    match builder.finish(&mut out) {
        Ok(summary) => {
            assert!(summary.entries() as usize >= builder.len());
            decode(&out);
            assert_eq!(Manifest::decode(&out).map(|manifest| manifest.summary()), Ok(summary));
        }
        Err(error) => {
            assert!(out.is_empty(), "a refused collection leaves nothing behind");
            assert!(builder.path(error.index).is_some(), "an entry is to blame");
        }
    }
}

/// Makes a name of the input that every rule allows.
///
/// # Panics
///
/// If a property does not hold.
pub fn names(data: &[u8]) {
    for rules in [Rules::UNIX, Rules::APPLE, Rules::WINDOWS, Rules::PORTABLE] {
        let safe = rules.sanitise(data);
        assert_eq!(check_name(&safe), Ok(()));
        assert_eq!(rules.name_hazard(&safe), None);
        assert_eq!(rules.sanitise(&safe), safe, "a safe name stays as it is");
    }
}

/// Makes a blob of the input and cuts it at once and in pieces.
///
/// # Panics
///
/// If a property does not hold.
#[cfg(feature = "std")]
pub fn chunker(data: &[u8]) {
    use crate::{Chunk, Chunker, ChunkerParams};

    let [profile, piece, runs @ ..] = data else { return };
    let params = ChunkerParams::ALL[usize::from(*profile) % 2];
    // Each three bytes are a run: how long, how it varies. Short inputs thus make long blobs.
    let mut blob = Vec::new();
    for [len, step, start] in runs.as_chunks::<3>().0.iter().take(16) {
        let from = blob.len();
        blob.resize(from + usize::from(*len) * 97, *start);
        if let (true, Some(noise)) = (*step >= 128, blob.get_mut(from..)) {
            blake3::Hasher::new().update(&[*step, *start]).finalize_xof().fill(noise);
        }
    }
    let cut = |piece: usize| {
        let mut chunks = Vec::new();
        let mut chunker = Chunker::new(params);
        let mut take = |chunk: Chunk, bytes: &[u8]| {
            assert_eq!(bytes.len(), chunk.len as usize);
            chunks.push(chunk);
        };
        for bytes in blob.chunks(piece) {
            chunker.push(bytes, &mut take);
            assert!(chunker.held_bytes() < params.max_bytes());
        }
        assert_eq!(chunker.finish(&mut take), blob.len() as u64);
        chunks
    };
    let whole = cut(blob.len().max(1));
    let piece = (1 + usize::from(*piece) * 509).max(blob.len() / 4_096);
    assert_eq!(whole, cut(piece), "pieces do not matter");
    let mut end = 0;
    for (at, chunk) in whole.iter().enumerate() {
        assert_eq!(chunk.offset, end);
        end += u64::from(chunk.len);
        let len = chunk.len as usize;
        assert!(len <= params.max_bytes());
        assert!(len >= params.min_bytes() || at + 1 == whole.len());
    }
    assert_eq!(end, blob.len() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_hold_the_properties() {
        let mut collection = Vec::from(*b"SmraCol\x01\x00");
        collection
            .extend_from_slice(b"\x02\x00\x00\x01a\x41\xed\x03\x01\x00\x01b\x02..\x00\x02\x00");
        for end in 0..=collection.len() {
            manifest(collection.get(..end).unwrap_or_default());
        }
        for at in 0..collection.len() {
            for bit in 0..8 {
                let mut flipped = collection.clone();
                flipped[at] ^= 1 << bit;
                manifest(&flipped);
            }
        }
        for seed in
            [&b""[..], b"a\na/b\nc>d", b"a/b/c/d\na", b"x\nx", b"a>\x01\x01x\n.samara-", b"A\na"]
        {
            manifest(seed);
            names(seed);
        }
        for seed in [&b"nul"[..], b"com1.txt", b" ", b"...", &[0x80; 300], ".samara-ø".as_bytes()]
        {
            names(seed);
        }
        #[cfg(feature = "std")]
        for seed in [&b""[..], b"\0\0\xff\xff\x01", &[0, 9].repeat(90), &[1, 250, 200].repeat(40)] {
            chunker(seed);
        }
    }
}
