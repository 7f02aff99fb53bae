//! The worked examples of RFC 0004, read from the document itself, are what the code makes.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;

use samara_base::BlobId;
use samara_chunk::{Entry, Manifest, ManifestEncoder, Mode, Mtime};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/0004-chunking.md");
    std::fs::read_to_string(path).expect("the document lies beside the crates")
}

/// The blocks of one language, by the name in their first line, without comments.
fn blocks(document: &str, language: &str) -> BTreeMap<String, Vec<String>> {
    let words = |lines: &str| {
        let content = lines.lines().flat_map(|line| line.split('#').next());
        content.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let block = |block: &str| {
        let (name, lines) = block.split("```").next()?.split_once('\n')?;
        Some((name.trim_start_matches("# ").to_owned(), words(lines)))
    };
    document.split(&format!("```{language}\n")).skip(1).filter_map(block).collect()
}

fn id(bytes: &[u8]) -> BlobId {
    BlobId::from_bytes(*blake3::hash(bytes).as_bytes())
}

//= rfcs/0004-chunking.md#coll-1
//= type=test
//# An encoder MUST write a collection in the one form that this section gives.
#[test]
fn the_collection() {
    let document = document();
    let blocks = blocks(&document, "hex");
    assert_eq!(blocks.len(), 1, "each example is tested");
    let expected: Vec<u8> =
        blocks["collection"].iter().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();

    let entries = [
        Entry::directory(b"bin", Mode::DIRECTORY, None),
        Entry::file(
            b"bin/go",
            Mode::EXECUTABLE,
            Mtime::new(1_760_000_000, 500_000_000),
            6,
            id(b"samara"),
        ),
        Entry::symlink(b"bin/gone", b"../go"),
        Entry::file(b"empty", Mode::FILE, Mtime::new(1_759_999_990, 0), 0, id(b"")),
    ];
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::new(&mut out);
    entries.iter().for_each(|entry| encoder.push(entry, &mut out).unwrap());
    encoder.finish(&mut out);
    assert_eq!(out, expected);
    assert!(document.contains(&format!(
        "The {} bytes are a blob with the id `{}`",
        out.len(),
        id(&out)
    )));

    let manifest = Manifest::decode(expected).unwrap();
    let mut decoded = manifest.iter();
    entries.iter().for_each(|entry| assert_eq!(decoded.next_entry().as_ref(), Some(entry)));
}

#[cfg(feature = "std")]
#[test]
fn the_chunks() {
    use samara_chunk::{Chunk, Chunker, ChunkerParams};

    let document = document();
    let blocks = blocks(&document, "chunks");
    let mut noise = vec![0; 1_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut tested = 0;
    for params in ChunkerParams::ALL {
        for (name, data) in [("noise", &noise), ("zeros", &vec![0; noise.len()])] {
            let Some(expected) = blocks.get(&format!("{name} {}", params.code())) else { continue };
            let mut lengths = Vec::new();
            let mut take = |chunk: Chunk, _: &[u8]| {
                if chunk.offset == 0 && (name, params.code()) == ("noise", 16) {
                    assert!(document.contains(&format!("has the id `{}`", chunk.id)));
                }
                lengths.push(chunk.len.to_string());
            };
            let mut chunker = Chunker::new(params);
            chunker.push(data, &mut take);
            chunker.finish(&mut take);
            assert_eq!(&lengths, expected, "{name} {params:?}");
            tested += 1;
        }
    }
    assert_eq!(tested, blocks.len(), "each example is tested");
}

/// The rows of the table of profiles.
#[cfg(feature = "std")]
#[test]
fn the_profiles() {
    use samara_chunk::ChunkerParams;

    let document = document();
    for params in ChunkerParams::ALL {
        let grouped = |bytes: usize| {
            let digits = bytes.to_string();
            let from_end = digits.char_indices().rev().map(|(at, digit)| {
                let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
                if comma { format!(",{digit}") } else { digit.to_string() }
            });
            from_end.collect::<Vec<_>>().into_iter().rev().collect::<String>()
        };
        let row =
            [params.code().into(), params.min_bytes(), params.avg_bytes(), params.max_bytes()]
                .map(grouped);
        assert!(document.contains(&format!("| {} |", row.join(" | "))), "{row:?}");
    }
}
