//! Words that log messages are made of: a small English vocabulary of what software does and is.
//!
//! A word of the vocabulary is nearly always part of a message's fixed text; a word that is not may be anybody's name. Verbs say what
//! happened, so they weigh most. Regular inflections (`starts`, `started`, `starting`, `stopped`, `retries`) are made by rule, and other words with an
//! English ending (`-tion`, `-ed`, `-ly`) count as known too. Words are looked up in lower case, by hash. Holds: what is not in here
//! costs nothing but weight; messages in other languages are handled by [`message`](super::message).

use hashbrown::HashTable;
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_64;

/// How much of a message's meaning a word carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    /// A word of the language.
    Word,
    /// What happens.
    Verb,
}

const VERBS: &str = "abort accept access acquire activate add adjust allocate allow apply archive assign attach attempt audit authenticate \
authorize become begin bind block boot break build bypass calculate call cancel catch change check choose clean cleanup clear close collect \
commit compile complete compress compute configure confirm connect consume contain convert copy crash create deactivate decline decode decompress decrease \
decrypt deliver demote deny deploy deprecate destroy detach detect disable discard disconnect discover dismount dispatch download drain drop dump duplicate elect empty \
enable encode encounter encrypt end enqueue ensure enter establish evict examine exceed execute exist exit expect expire export extend extract fail fetch \
filter find finish fix flush fold follow force format forward free freeze generate get give go grant handle hang ignore import include increase increment \
indicate inform initialize initialise insert inspect install interrupt invalidate invoke issue join keep kill launch leave listen load lock login \
logout lose mark match merge migrate miss modify monitor mount move negotiate notice notify obtain occur open overflow overwrite parse pass pause perform \
persist ping poll prefer prepare prevent print proceed process produce promote protect provide publish pull purge push put quarantine query queue quit raise reach read \
reboot rebuild receive reclaim recognize reconnect record recover recreate redirect reduce refer refresh refuse register reject relay release reload remain remove rename \
render renew reopen repair replace replay replicate reply report request require reset resize resolve respond restart restore restrict resume retain retrieve \
retry return reuse revert revoke rollback rotate route run save say scale scan schedule search see seek select send serve set setup show shutdown sign skip sleep spawn \
split stall start stop store stream submit subscribe succeed suspend switch sync synchronize synchronise take terminate throttle throw timeout trace track \
transfer transition transmit trigger truncate trust try unblock uninstall unload unlock unmount unregister unsubscribe update upgrade upload use validate verify \
view violate wait wake warn watch withdraw write yield";

const IRREGULAR: &str = "became began begun broke broken built caught chose chosen came did done fell forbidden found froze frozen gave given \
gone got had held hung kept knew known led left lost made met paid ran read ran rose said saw seen sent shut slept spent stood stuck taken thrown threw told took \
went withdrawn woke won wrote written";

const WORDS: &str = "a able about above absent access account action active actual address admin administrator after again age agent alert alias all already also \
alternate always an and another any api app application are area argument array as assertion async asynchronous at attribute auth authority automatic \
available average back backend background backup bad balance bandwidth bank base batch battery be because been before behind being below best between beyond \
bit blank body boolean both bottom boundary branch bridge broker browser bucket buffer bug bus busy but by byte cable cache callback can candidate cannot capacity \
card case cause certificate chain channel character checkpoint checksum child children chunk circuit class client clock cluster code cold collection column command \
common complete component condition config configuration conflict congestion connection connectivity console constraint consumer container content context \
control controller cookie core correct corrupt corruption count counter coverage credential critical current cursor custom cycle damage data database date day dead \
deadline deadlock debug default delay dependency depth description design desktop destination detail device diagnostic dictionary different digest direct directory dirty \
disk display distributed document does domain door down driver due during duration dynamic each early edge either element else email emergency encoding \
endpoint engine entire entity entry enough environment epoch error even event every exact example exception exclusive executor existing external extra failover failure \
false fast fatal fault feature few field file final first flag flow folder for foreign format four fragment frame framework frequency from front full function further \
garbage gateway general global good group guard guest half handler handle handshake hard hardware hash have he head header health healthy heap heartbeat height help her here \
hidden high his history home hook host hour how id idle if illegal image immediate in inactive inbound incoming incomplete inconsistent incorrect index info \
information initial inner input inside instance instead insufficient integer integrity interface internal interval into invalid invitation is isolated it item its itself job journal \
just kernel key keyboard keyspace kind label lag language large last late latency latest layer layout leader lease least legacy length less level library license limit line \
link list listener little live local locale location log long loop low machine mail main maintenance major malformed manager manual many map mapper mask master \
matching max maximum may maybe me media medium member memory menu message meta metadata method metric middle might migration min minimum minor minute \
mirror missing mode model module moment month more most mouse multiple must my name namespace native near negative neither nested network never new next no \
node none normal not note nothing notification now null number object of off offline offset ok okay old on once one online only operation operator option \
or order origin other our out outbound outer outgoing output outside over overall overhead own owner packet page pair panic parallel parameter parent part partial partition party \
password path pattern payload peer pending per percent performance period permanent permission persistent phase physical phone pipe pipeline pixel place plan platform plugin point \
pointer policy pool port position positive possible power present previous primary principal priority privacy private probable probe problem processor producer profile program \
progress project prompt proper properly property protocol provider proxy public quality quantity query question quick quorum quota radio random range rate rather raw ready real really \
reason recent recipient recursive redundant reference region registry regular related relative remote replica repository resource response rest result role root round router \
row rule runtime safe same sample schema scope screen script search second secret section sector secure security segment self semaphore sender sensor separate sequence serial series \
server service session severity severe shard share shared she shell short should shuffle side signal signature significant silent similar simple single site size slave slot slow small \
snapshot so socket soft software some soon source space special specific speed stable stack stage stale standalone standard standby startup state statement static station statistics status \
step still storage strategy strict string strong structure sub subject subnet subsystem success such suite summary super support supported sure suspicious symbol system table tag target task \
team template temperature temporary ten tenant term test text than that the their them then there these they thing third this thread three threshold through throughput thus ticket time \
timer timestamp to today together token too tool top topic topology total touch traffic transaction transient tree true tunnel twice two type unable unauthorized unavailable under undefined \
unexpected unhealthy unique unit unknown unless unrecognized unresponsive unsupported until up upon upstream uptime us usage user usual utility vacuum valid value variable vector vendor version \
very via video virtual visible volume voltage vote was we web week weight were what when where whether which while who whole why width will window wireless with within without word work \
worker workflow workspace world would wrong yellow yes yet you your zero zone";

/// Endings of words that English derives from others; of words of at least [`DERIVED_BYTES_MIN`].
const ENDINGS: [&str; 16] = [
    "ing", "ed", "tion", "sion", "ment", "ness", "able", "ible", "less", "ous", "ive", "ally",
    "ity", "ance", "ence", "ful",
];
const DERIVED_BYTES_MIN: usize = 6;
/// No word of the vocabulary is longer.
const BYTES_MAX: usize = 24;

struct Lexicon(HashTable<(u64, Known)>);

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon(HashTable::new());
    for word in WORDS.split_whitespace() {
        lexicon.put(word, Known::Word);
        lexicon.put(&format!("{word}s"), Known::Word);
    }
    for verb in VERBS.split_whitespace() {
        inflections(verb, &mut |form| lexicon.put(form, Known::Verb));
    }
    for form in IRREGULAR.split_whitespace() {
        lexicon.put(form, Known::Verb);
    }
    lexicon
});

impl Lexicon {
    fn put(&mut self, word: &str, known: Known) {
        let hash = xxh3_64(word.as_bytes());
        match self.0.find_mut(hash, |entry| entry.0 == hash) {
            Some(entry) => entry.1 = known,
            None => {
                self.0.insert_unique(hash, (hash, known), |entry| entry.0);
            }
        }
    }
}

/// The regular forms of a verb (some of which nobody says).
fn inflections(verb: &str, put: &mut dyn FnMut(&str)) {
    put(verb);
    put(&format!("{verb}s"));
    let last = verb.chars().next_back().unwrap_or_default();
    let stem = &verb[..verb.len() - last.len_utf8()];
    for ending in ["ed", "ing", "er"] {
        match last {
            'e' => put(&format!("{stem}{ending}")),
            _ => {
                put(&format!("{verb}{ending}"));
                put(&format!("{verb}{last}{ending}"));
            }
        }
    }
    match last {
        'y' => ["ied", "ies"]
            .iter()
            .for_each(|ending| put(&format!("{stem}{ending}"))),
        's' | 'h' | 'x' | 'z' => put(&format!("{verb}es")),
        _ => {}
    }
}

/// What is known of a word of ASCII letters.
pub(crate) fn look_up(word: &str) -> Option<Known> {
    let (bytes, mut lower) = (word.as_bytes(), [0; BYTES_MAX]);
    if bytes.len() < 2 || bytes.len() > BYTES_MAX {
        return None;
    }
    for (to, from) in lower.iter_mut().zip(bytes) {
        *to = from.to_ascii_lowercase();
    }
    let lower = &lower[..bytes.len()];
    let hash = xxh3_64(lower);
    let known = LEXICON.0.find(hash, |entry| entry.0 == hash);
    known.map(|entry| entry.1).or_else(|| derived(lower))
}

fn derived(lower: &[u8]) -> Option<Known> {
    let singular = lower.strip_suffix(b"s").unwrap_or(lower);
    let ends = |ending: &str| {
        let ending = ending.as_bytes();
        singular.last() == ending.last() && singular.ends_with(ending)
    };
    (lower.len() >= DERIVED_BYTES_MIN && ENDINGS.iter().any(|ending| ends(ending)))
        .then_some(Known::Word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_known_in_their_regular_and_irregular_forms_and_names_are_not() {
        for verb in [
            "started", "STOPPED", "Retries", "Sending", "sent", "closed", "flushes",
        ] {
            assert_eq!(look_up(verb), Some(Known::Verb), "{verb}");
        }
        for word in ["server", "the", "Connections", "finalization", "interfaces"] {
            assert!(look_up(word).is_some(), "{word}");
        }
        for name in ["cyrus", "webmaster", "alice", "x", "usbfs", "nginx"] {
            assert_eq!(look_up(name), None, "{name}");
        }
    }
}
