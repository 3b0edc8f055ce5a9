//! Whether a text is an assistant's refusal: short, and declining at its very beginning.
//!
//! Providers that say a refusal in a field of its own need none of this. Made to be precise: a letter of refusal that was
//! asked for, an answer that lacks knowledge ("I don't have access to the weather") and idioms ("I can't help but smile")
//! are answers. English, German, French and Spanish.

use std::convert::Infallible;

use regex::Regex;

use crate::process::PerProcess;

/// Whoever refuses does not go on for longer, in bytes.
const LONGEST: usize = 1000;
/// So many characters of the beginning are looked at.
const LOOKED_AT: usize = 300;

/// What may come before the refusal itself.
const ENGLISH_OPENING: &str = r"^(?:(?:oh|hmm|well|hi|hello|hey|no|okay|ok)[,.!]? )?(?:(?:thanks?|thank you)(?: you)? for [^.!?,]{1,60}[.!,]+ )?(?:(?:but|however),? )?(?:i (?:understand|appreciate|see|know|realize|hear) [^.!?]{1,120}?(?:[.,;] (?:but |however,? )?| but ))?(?:(?:(?:i'm|i am|we're|we are) (?:very |really |so |truly |terribly |deeply |just )?(?:sorry|afraid)|sorry|(?:i |my |our )?(?:sincere |deepest )?apolog(?:i[sz]e|ies)|unfortunately|regrettably|(?:i'm|i am) (?:just |only )?an ai[^,.!?]{0,40}|as an? (?:ai|artificial intelligence|(?:large )?language model|responsible|ethical)[^.,!?]{0,60})(?:[,.!;:]| -| \x{2014})? (?:about (?:that|this)[,.]? )?(?:(?:that |to hear |to learn |you're |you are )[^.!?,]{1,60}[,.] )?(?:for (?:any|the) (?:inconvenience|confusion)[^.,]{0,30}[,.]? )?(?:(?:but|however|that)[,]? )?){0,3}";
/// What is declined, after "I can't".
const ENGLISH_DEED: &str = r"(?:(?:in good conscience|ethically|legally|currently|directly|really|simply),? )?(?:(?:help|assist)(?: you| anyone| users?)?(?: with (?:that|this|those|these|it|any|anything|such|your|requests?|questions?|illegal|harmful|the request|[a-z]+ing)\b| (?:in|on|by|to|out|there|further|here)\b|[.,;!]|$)|help (?:you|anyone|users?) (?:[a-hj-vx-z]|wr)|help (?:bypass|hack|break)|comply\b|(?:fulfil|fulfill|honou?r|accommodate|complete|process|answer|address|satisfy|respond to|act on) (?:that|this|those|these|such|your|it)(?:(?: kind of| type of| sort of)? (?:request|question|prompt|task|query|message|instruction)s?\b|[.,;!]|$)|do (?:that|this|it)(?: for you| because| as\b|[.,;!]|$)|(?:discuss|engage (?:in|with)|participate in|take part in|support|continue(?: with)?|proceed with|go along with|be part of|condone) (?:that|this|such|those|these)\b|(?:provide|give|share|offer|supply|produce)(?: you)?(?: with)?(?: (?:any|specific|detailed|further|step-by-step|medical|legal|financial|such|explicit|the|personal|real-world|sensitive))* ?(?:that\b|this\b|those\b|instructions?\b|information\b|guidance\b|advice\b|assistance\b|help\b|support\b|details\b|content\b|guides?\b|steps\b|methods\b|directions\b|the full (?:text|lyrics)|diagnos|a (?:guide|tutorial|recipe|step-by-step|list of (?:ways|methods))|material\b|lyrics\b|images?\b)|(?:create|generate|write|make|compose|draft|develop|build|draw|translate|produce)(?: you)? (?:that\b|this (?:kind|type|sort|content|for you)|those\b|such\b|any (?:content|material|text|images?|such|kind|type|form)\b|content\b|explicit\b|malware\b|malicious\b|fake\b|phishing\b|hateful\b|harmful\b|offensive\b|violent\b|sexual\b|sexually\b|defamatory\b|images?\b|code (?:that|for|to|which)\b|(?:an? )?(?:[a-z]+ )?(?:story|essay|speech|message|text|image|letter|email|article|joke|script|poem|post|song|virus|keylogger|bomb|weapon|review|picture)s? (?:that|which|about|promoting|containing|depicting|encouraging|of|mocking|attacking|praising|designed)\b)|(?:pretend|role-?play|act as|impersonate|reveal|ignore my|bypass|disclose)\b)";
const ENGLISH_OTHER: &str = r"(?:i (?:must|have to|need to|will have to|am going to have to) (?:respectfully |politely )?(?:decline|refuse)(?: to| this| that| your| as| because| and|[.,;!]|$)|i'll have to (?:respectfully |politely )?(?:decline|refuse|pass)(?: to| on| this| that| your| as|[.,;!]|$)|i (?:respectfully |politely )?(?:decline|refuse) (?:to|this|that|your)\b|(?:i'm|i am) not comfortable (?:with|providing|helping|writing|creating|generating|discussing|sharing|assisting|answering|doing)\b|i (?:don't|do not|wouldn't) feel comfortable (?:with|providing|helping|writing|creating|generating|discussing|sharing|assisting|answering|doing)\b|(?:(?:this|that|your|the) (?:request|question|prompt|topic|content|query)|what you're asking)[^.!?]{0,40} (?:goes against|is against|conflicts with|violates|would violate) (?:my|our|the|usage|content|safety|policy|policies|guidelines)\b|(?:this|that)(?:'s| is) not something (?:that )?i(?:'m| am)? ?(?:can|will|able|comfortable|willing)\b|(?:this|that) isn't something (?:that )?i(?:'m| am)? ?(?:can|will|able|comfortable|willing)\b|(?:this|that)(?:'s| is) something (?:that )?i(?:'m not| am not| can't| cannot| won't)\b|it (?:is|would be|would not be|wouldn't be|isn't)(?: not)? (?:appropriate|inappropriate|unethical|illegal|right|ethical|okay|responsible|irresponsible) for me to\b|it(?:'s| is) against my (?:guidelines|programming|policy|policies|principles)\b|(?:my|our) (?:guidelines|programming|policies|safety guidelines) (?:prevent|prohibit|forbid|don't allow|do not allow)\b)";
const CANNOT: &str = r"(?:(?:i|we) (?:really |simply |just |also |absolutely |still )?(?:(?:can't|cannot|can not) and (?:will not|won't)|can't|cannot|can not|won't|will not|could not|couldn't|won't be able to|will not be able to|am unable to|am not able to|am not allowed to|am not permitted to|am not going to|am not designed to|am not programmed to|are unable to|are not able to)|i'm (?:unable to|not able to|not allowed to|not permitted to|not going to be able to|not going to|not programmed to|not designed to|prohibited from)|can't|cannot|unable to) ";
const GERMAN: &str = r"^(?:(?:(?:es )?tut mir (?:sehr )?leid|entschuldigung|entschuldige|ich entschuldige mich|leider|verzeihung)[,.!;]? ?(?:aber |doch |dass )?){0,3}(?:ich (?:kann|darf|werde|möchte)|(?:das |dabei |hierbei |damit |bei dieser anfrage |dazu )?(?:kann|darf) ich)(?: [^.!?]{0,80}?)? (?:nicht [^.!?]{0,40}?(?:helfen|weiterhelfen|behilflich|unterstützen|beantworten|nachkommen|erfüllen|bereitstellen)\b|keine (?:anleitung|anleitungen|informationen|hilfe|ratschläge|auskunft|inhalte|unterstützung)\b)";
const FRENCH: &str = r"^(?:(?:je suis (?:vraiment |sincèrement )?désolée?|désolée?|malheureusement|je regrette|je m'excuse)[,.!;]? ?(?:mais )?){0,3}je ne (?:peux|pourrai|suis) (?:malheureusement )?pas (?:en mesure d(?:e |')|autorisée? à |capable d(?:e |'))?(?:vous |t'|te )?(?:aider\b|assister\b|répondre à (?:cette|votre|ta|ce)|fournir (?:ce|cette|ces|d'|de |des )|créer (?:ce|cette|ces|de )|générer (?:ce|cette|ces|de )|satisfaire|donner suite|accéder à (?:cette|votre|ta))";
const SPANISH: &str = r"^(?:(?:lo siento|lo lamento|disculpa|disculpe|perdón|lamentablemente|desafortunadamente)(?: mucho)?[,.!;]? ?(?:pero )?){0,3}no (?:puedo|podré|me es posible|estoy autorizad[oa] (?:a|para)) (?:ayudar(?:te|le|los|les)?\b|asistir(?:te|le)?\b|proporcionar(?:te|le)? (?:es|informaci|instrucci|ayuda|detalles|contenido)|responder a es[ae]|cumplir con|crear (?:es|contenido)|generar (?:es|contenido)|participar en)";

static REFUSES: PerProcess<Option<Regex>> = PerProcess::new();

fn pattern() -> Option<&'static Regex> {
    let make = || {
        let english = format!("{ENGLISH_OPENING}(?:{CANNOT}{ENGLISH_DEED}|{ENGLISH_OTHER})");
        Ok::<_, Infallible>(Regex::new(&format!("(?:{english})|(?:{GERMAN})|(?:{FRENCH})|(?:{SPANISH})")).ok())
    };
    match REFUSES.get_or_try_init(make) {
        Ok(pattern) => pattern.as_ref(),
        Err(never) => match never {},
    }
}

/// Whether a whole answer refuses.
pub fn refuses(answer: &str) -> bool {
    let answer = answer.trim_start();
    if answer.len() > LONGEST || !may_open(answer) {
        return false;
    }
    let mut start = String::with_capacity(LOOKED_AT + 8);
    for word in answer.split_whitespace() {
        if start.len() > LOOKED_AT {
            break;
        }
        if !start.is_empty() {
            start.push(' ');
        }
        start.extend(word.chars().filter(|c| !matches!(c, '*' | '_')).flat_map(char::to_lowercase).map(|c| match c {
            '\u{2019}' | '\u{2018}' | '\u{b4}' => '\'',
            c => c,
        }));
    }
    pattern().is_some_and(|pattern| pattern.is_match(&start))
}

/// Whether the first word is one a refusal can begin with; nearly every answer ends here.
fn may_open(answer: &str) -> bool {
    const FIRST: [&str; 47] = [
        "i",
        "i'm",
        "i'll",
        "we",
        "we're",
        "sorry",
        "my",
        "our",
        "oh",
        "hmm",
        "well",
        "hi",
        "hello",
        "hey",
        "no",
        "ok",
        "okay",
        "thanks",
        "thank",
        "but",
        "however",
        "unfortunately",
        "regrettably",
        "as",
        "can't",
        "cannot",
        "unable",
        "this",
        "that",
        "that's",
        "your",
        "the",
        "what",
        "it",
        "apologies",
        "es",
        "tut",
        "entschuldigung",
        "entschuldige",
        "leider",
        "verzeihung",
        "ich",
        "das",
        "dabei",
        "hierbei",
        "damit",
        "dazu",
    ];
    const OTHERS: [&str; 15] = [
        "bei",
        "je",
        "désolé",
        "désolée",
        "malheureusement",
        "lo",
        "disculpa",
        "disculpe",
        "perdón",
        "lamentablemente",
        "desafortunadamente",
        "kann",
        "darf",
        "aber",
        "apologize",
    ];
    let word: String = answer
        .chars()
        .take(20)
        .skip_while(|c| matches!(c, '*' | '_'))
        .take_while(|c| c.is_alphabetic() || matches!(c, '\'' | '\u{2019}'))
        .flat_map(char::to_lowercase)
        .map(|c| if c == '\u{2019}' { '\'' } else { c })
        .collect();
    FIRST.contains(&word.as_str()) || OTHERS.contains(&word.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        refuses: bool,
    }

    #[test]
    fn refusals_and_what_looks_like_one() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/goldens/refusals.json")).unwrap();
        let (mut found, mut wrong, mut missed) = (0, Vec::new(), Vec::new());
        for case in &cases {
            match (refuses(&case.text), case.refuses) {
                (true, true) => found += 1,
                (true, false) => wrong.push(&case.text),
                (false, true) => missed.push(&case.text),
                (false, false) => {}
            }
        }
        // A wrong sign is worse than a missing one: it may cost a second call.
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(found * 100 >= 85 * (found + missed.len()), "{found} found, {missed:#?}");
    }

    #[test]
    fn a_long_answer_is_an_answer() {
        let refusal = "I'm sorry, but I can't help with that. ";
        assert!(refuses(refusal) && refuses(&refusal.repeat(3)));
        assert!(!refuses(&refusal.repeat(40)));
        assert!(!refuses(""));
        assert!(pattern().is_some());
    }

    proptest! {
        #[test]
        fn it_never_panics(text in "\\PC{0,400}") {
            let _ = refuses(&text);
        }
    }
}
