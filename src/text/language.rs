//! The language a text is written in, as ISO 639-1, where a short text says so.
//!
//! First the script, then the small words that every sentence of a language has; only a longer text that has too few of
//! them goes to `whatlang`, whose trigrams need one. Code and names count for nothing.

use std::collections::HashMap;
use std::sync::OnceLock;

use whatlang::{Detector, Lang};

/// At most so many bytes are read.
const READ_BYTES: usize = 1024;
/// Letters of one script, as a share of all letters, that settle it.
const OF_ALL_LETTERS: f32 = 0.6;
/// Small words count 1 divided among the languages that have them. The first language needs so much...
const ENOUGH: f32 = 0.9;
/// ...so many times what the second has...
const AHEAD: f32 = 1.4;
/// ...and this share of the words.
const SHARE: f32 = 0.08;
/// A text for `whatlang` has as many letters.
const LETTERS_FOR_TRIGRAMS: usize = 60;

/// Small words, in lower case.
const SMALL_WORDS: [(&str, &str); 20] = [
    (
        "en",
        "the of and to is in that it for was with as you this be are on not what how who where when why which does do can \
         could should would will have has from by at an or my your their we they he she his her if there all one me i \
         about into please give write than then did were been some any these those",
    ),
    (
        "de",
        "der die das und ist nicht ein eine einen einem einer ich du er sie es wir ihr mit von zu auf für im den dem des \
         was wie wer wo wann warum welche welcher kann können bitte mir mich sich auch aus bei nach oder aber wenn dass \
         sind hat haben wird zum zur über um noch diesen diese dieser dieses mein meine schreibe gib mal sehr uns heute ihm",
    ),
    (
        "fr",
        "le la les des et est un une du de que qui quoi dans pour pas sur au aux avec ce cette ces je tu il elle nous vous \
         ils mon ma mes son sa ses votre quel quelle quels quelles comment pourquoi où quand combien en ne plus se sont été \
         être ai as avez peux pouvez fais moi ou par y c'est j'ai qu'est d'un d'une l'eau cet leur très bien suis",
    ),
    (
        "es",
        "el la los las de y es en que un una no por para con se su sus lo del al como más pero le ha me si mi este esta \
         estos estas qué cómo cuál quién cuándo dónde cuánto cuántos son está hay hazme dame puedes favor yo tú nos muy \
         también fue ser sobre entre sin texto hola año tiene escribe",
    ),
    (
        "it",
        "il lo la i gli le di e è che un una non per con del della dei delle dello nel nella si mi ti ci come più ma anche \
         al alla ai su da dal dalla questo questa questi queste cosa chi quando dove perché quanto quale quali sono ho hai \
         ha puoi fammi sei molto essere era tra fra se oggi sul",
    ),
    (
        "pt",
        "o a os as de e é que um uma não para com por do da dos das no na nos nas em se ao à mais mas como seu sua meu minha \
         este esta isso qual quem quando onde quanto quais você me eu ele ela foi são está tem muito também ou já pelo pela \
         estou vou pode olá favor texto hoje",
    ),
    (
        "nl",
        "de het een en van is dat in niet te op zijn met voor ik je er aan ook als maar om dan wat wie waar wanneer waarom \
         hoe kan kun deze dit die door over bij uit naar heb heeft hij zij wij u mijn geen nog wel schrijf geef mij welke \
         worden wordt vandaag",
    ),
    (
        "sv",
        "och att det är en ett som på av för med inte den jag du har till om var vad hur när varför vem vilken kan de vi \
         från men så eller mig min mitt denna detta ska skriv han hon sig också där här",
    ),
    (
        "da",
        "og at det er en et som på af for med ikke den jeg du har til om var hvad hvordan hvornår hvorfor hvem hvilken kan \
         de vi fra men så eller mig min mit denne dette skal skriv han hun sig også der her",
    ),
    (
        "no",
        "og at det er en et som på av for med ikke den jeg du har til om var hva hvordan når hvorfor hvem hvilken kan de vi \
         fra men så eller meg min mitt denne dette skal skriv han hun seg også der her",
    ),
    (
        "pl",
        "i w na z że się nie to jest do jak co o po za od ale czy dla ten ta te są był była być tak już przez oraz jego mi \
         mnie kto gdzie kiedy dlaczego który która które ile proszę napisz bardzo jestem mam dzisiaj",
    ),
    (
        "cs",
        "a se na je že v s z do to jak co ale by pro tak jsem jsou byl kde kdy proč kdo který která které kolik mi mě ten \
         tato toto ve od za po nebo také už jako není prosím napiš velmi jsi si dnes",
    ),
    (
        "fi",
        "ja on ei se että oli en mutta niin kuin mikä mitä missä milloin miksi miten kuka voi olen olet ole joka tämä tämän \
         hän minä sinä minun myös sekä tai jos kun vain nyt hyvin kirjoita paljon kuinka tänään",
    ),
    (
        "tr",
        "bir ve bu için ile de da ne mi mı nasıl nerede neden kim hangi kaç çok daha gibi ben sen olan var yok ama olarak \
         değil bana lütfen en kadar her şey o bugün misin mısın",
    ),
    (
        "ro",
        "și în de la cu pe nu o un este să a ce care din pentru mai sunt cum unde când cine cât că se am ai eu sau dar fost \
         acest această îmi mi lui foarte scrie te rog câți",
    ),
    (
        "hu",
        "a az és hogy nem egy is van ez azt mi mit ki hol mikor miért hogyan milyen melyik de csak már meg volt kell lehet \
         vagy nagyon ha én te ő le fel írj kérlek mennyi ezt vagyok ma",
    ),
    (
        "id",
        "yang dan di ini itu dengan untuk tidak dari dalam akan pada adalah saya kamu anda apa siapa bagaimana kapan mengapa \
         berapa bisa ada ke juga atau sudah tolong buat tulis hari sangat",
    ),
    (
        "vi",
        "là của và các có được cho không trong một với này những người tôi bạn gì nào đâu khi làm như thế để về ở hãy viết ai \
         bao nhiêu rất hôm nay",
    ),
    (
        "ca",
        "el la els les de i és en que un una no per amb del al com més però em si meu aquest aquesta què qui quan on per \
         quina quin són està hi molt també sobre entre sense avui pots dels",
    ),
    (
        "hr",
        "i u na je se da su za od sa ne što kako gdje kada zašto tko koji koja koje koliko sam si smo ali ili ovo taj to ovaj \
         ova biti bio nije ima molim napiši vrlo danas mi",
    ),
];

/// The language of most of the text; `None` when that is not sure enough.
pub fn language(text: &str) -> Option<&'static str> {
    let text = &text[..text.floor_char_boundary(READ_BYTES)];
    let scripts = Scripts::count(text);
    if scripts.letters == 0 {
        return None;
    }
    if !scripts.is(scripts.latin) {
        return by_script(text, &scripts);
    }
    by_small_words(text).or_else(|| by_trigrams(text, scripts.letters))
}

/// Letters by script.
#[derive(Default)]
struct Scripts {
    letters: usize,
    latin: usize,
    han: usize,
    kana: usize,
    hangul: usize,
    greek: usize,
    hebrew: usize,
    thai: usize,
    devanagari: usize,
}

impl Scripts {
    fn count(text: &str) -> Self {
        let mut scripts = Self::default();
        for c in text.chars().filter(|c| c.is_alphabetic()) {
            scripts.letters += 1;
            let count = match u32::from(c) {
                0..=0x24F | 0x1E00..=0x1EFF => &mut scripts.latin,
                0x370..=0x3FF | 0x1F00..=0x1FFF => &mut scripts.greek,
                0x590..=0x5FF => &mut scripts.hebrew,
                0x900..=0x97F => &mut scripts.devanagari,
                0xE00..=0xE7F => &mut scripts.thai,
                0x1100..=0x11FF | 0xAC00..=0xD7AF => &mut scripts.hangul,
                0x3040..=0x30FF => &mut scripts.kana,
                0x3400..=0x9FFF => &mut scripts.han,
                _ => continue,
            };
            *count += 1;
        }
        scripts
    }

    fn is(&self, letters: usize) -> bool {
        letters as f32 >= OF_ALL_LETTERS * self.letters as f32
    }
}

/// Scripts of one language, and what trigrams say of the others.
fn by_script(text: &str, scripts: &Scripts) -> Option<&'static str> {
    if scripts.is(scripts.han + scripts.kana) {
        // Japanese hardly does without its syllables.
        return Some(if scripts.kana * 10 > scripts.han { "ja" } else { "zh" });
    }
    let of_one = [(scripts.hangul, "ko"), (scripts.greek, "el"), (scripts.thai, "th")];
    if let Some((_, code)) = of_one.into_iter().find(|&(letters, _)| scripts.is(letters)) {
        return Some(code);
    }
    let code = iso(whatlang::detect(text)?.lang());
    // Cyrillic and Arabic letters that only one of the languages has settle what trigrams of a few words cannot.
    let has = |letters: &str| text.chars().any(|c| letters.contains(c));
    Some(match code {
        "ru" | "uk" | "be" | "bg" | "sr" | "mk" if has("їєґЇЄҐ") => "uk",
        "ru" | "uk" | "be" | "bg" | "sr" | "mk" if has("ыэёЫЭЁ") && !has("ў") => "ru",
        "ar" | "fa" | "ur" if has("ٹڈڑے") => "ur",
        "ar" | "fa" | "ur" if has("پچژگ") => "fa",
        "ar" | "fa" | "ur" if has("ةىيك") => "ar",
        "he" | "yi" | "hi" | "mr" | "ne" if scripts.is(scripts.hebrew) => "he",
        other => other,
    })
}

fn by_small_words(text: &str) -> Option<&'static str> {
    static LANGUAGES_OF: OnceLock<HashMap<&str, u32>> = OnceLock::new();
    let languages_of = LANGUAGES_OF.get_or_init(|| {
        let mut languages_of = HashMap::new();
        for (language, (_, words)) in SMALL_WORDS.iter().enumerate() {
            for word in words.split_whitespace() {
                *languages_of.entry(word).or_default() |= 1 << language;
            }
        }
        languages_of
    });
    let mut scores = [0f32; SMALL_WORDS.len()];
    let (mut words, mut lower) = (0, String::new());
    let between = |c: char| !c.is_alphabetic() && c != '\'' && c != '’';
    for word in text.split(between).filter(|word| !word.is_empty()) {
        words += 1;
        lower.clear();
        lower.extend(word.chars().flat_map(char::to_lowercase));
        let Some(&languages) = languages_of.get(lower.as_str()) else { continue };
        let part = 1.0 / languages.count_ones() as f32;
        for (language, score) in scores.iter_mut().enumerate() {
            *score += part * (languages >> language & 1) as f32;
        }
    }
    let (best, &most) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let second = scores.iter().enumerate().filter(|&(i, _)| i != best).map(|(_, &score)| score).fold(0.0, f32::max);
    let sure = most >= ENOUGH && most >= AHEAD * second && most >= SHARE * words as f32;
    sure.then_some(SMALL_WORDS[best].0)
}

fn by_trigrams(text: &str, letters: usize) -> Option<&'static str> {
    if letters < LETTERS_FOR_TRIGRAMS {
        return None;
    }
    let info = Detector::new().detect(text)?;
    info.is_reliable().then(|| iso(info.lang()))
}

/// The codes that [`language`] knows.
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = Lang::all().iter().map(|&language| iso(language)).collect();
    codes.sort_unstable();
    codes
}

/// The two letters of ISO 639-1.
fn iso(language: Lang) -> &'static str {
    match language {
        Lang::Afr => "af",
        Lang::Aka => "ak",
        Lang::Amh => "am",
        Lang::Ara => "ar",
        Lang::Aze => "az",
        Lang::Bel => "be",
        Lang::Ben => "bn",
        Lang::Bul => "bg",
        Lang::Cat => "ca",
        Lang::Ces => "cs",
        Lang::Cmn => "zh",
        Lang::Dan => "da",
        Lang::Deu => "de",
        Lang::Ell => "el",
        Lang::Eng => "en",
        Lang::Epo => "eo",
        Lang::Est => "et",
        Lang::Fin => "fi",
        Lang::Fra => "fr",
        Lang::Guj => "gu",
        Lang::Heb => "he",
        Lang::Hin => "hi",
        Lang::Hrv => "hr",
        Lang::Hun => "hu",
        Lang::Hye => "hy",
        Lang::Ind => "id",
        Lang::Ita => "it",
        Lang::Jav => "jv",
        Lang::Jpn => "ja",
        Lang::Kan => "kn",
        Lang::Kat => "ka",
        Lang::Khm => "km",
        Lang::Kor => "ko",
        Lang::Lat => "la",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Mal => "ml",
        Lang::Mar => "mr",
        Lang::Mkd => "mk",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Nld => "nl",
        Lang::Nob => "no",
        Lang::Ori => "or",
        Lang::Pan => "pa",
        Lang::Pes => "fa",
        Lang::Pol => "pl",
        Lang::Por => "pt",
        Lang::Ron => "ro",
        Lang::Rus => "ru",
        Lang::Sin => "si",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Sna => "sn",
        Lang::Spa => "es",
        Lang::Srp => "sr",
        Lang::Swe => "sv",
        Lang::Tam => "ta",
        Lang::Tel => "te",
        Lang::Tgl => "tl",
        Lang::Tha => "th",
        Lang::Tuk => "tk",
        Lang::Tur => "tr",
        Lang::Ukr => "uk",
        Lang::Urd => "ur",
        Lang::Uzb => "uz",
        Lang::Vie => "vi",
        Lang::Yid => "yi",
        Lang::Zul => "zu",
        Lang::Cym => "cy",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_requests() {
        for (text, code) in [
            ("What is the capital of France?", "en"),
            ("Wie hoch ist der Eiffelturm?", "de"),
            ("Quelle est la capitale du Pérou ?", "fr"),
            ("¿Cuál es la capital de Perú?", "es"),
            ("Qual è la capitale del Perù?", "it"),
            ("今天天气怎么样？", "zh"),
            ("この文章を要約してください", "ja"),
            ("안녕하세요", "ko"),
            ("Как дела, что ты делаешь?", "ru"),
            ("Як справи, що ти робиш? Їдеш?", "uk"),
            ("كيف حالك اليوم؟", "ar"),
        ] {
            assert_eq!(language(text), Some(code), "{text}");
        }
    }

    #[test]
    fn nothing_to_go_by_is_none() {
        for text in ["", "42", "ok", "x = y + 1;", "asdf qwer", "{\"a\": 1}", "🙂"] {
            assert_eq!(language(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer_of_two_letters_or_none(text in "(?s).{0,200}") {
            prop_assert!(language(&text).is_none_or(|code| code.len() == 2));
        }
    }
}
