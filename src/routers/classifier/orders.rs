//! More kinds of orders, each a pattern that a label belongs into: what the answer must be, roles that say but one thing,
//! tiers to use, and the word order of other languages.
//!
//! Here, too, the label is the end of the order, and what else begins like one stays a request: "you are an agent that
//! only books cheap hotels", "your answer must be simple".

/// Matches nothing: where there are no names of a kind.
pub(super) const NONE: &str = r"[^\s\S]";

/// Where an order begins. Not after "you": "in Dutch you say" tells nobody to.
const START: &str =
    r#"(?:^|[,:>("\]\-] ?|\b(?:please|just|simply|only|must|should|shall|always|now|then|kindly|so|but|therefore) )"?"#;
const SAYS: &str = "(?:says?|answers?|repl(?:y|ies)|responds?|returns?|outputs?|prints?|emits?|echo(?:es)?|writes?|gives?|picks?|chooses?|selects?)";
/// What is said of what is to be answered.
const MUST: &str = "(?:must|should|shall|has to|have to|needs? to|will|is to|ought to|(?:may|can) only)";
/// Things that have an order among them.
const MOST: &str = "(?:first|second|third|fourth|last|top|bottom|middle|highest|lowest|strongest|weakest|hardest|easiest|(?:most|least) [a-z]+)";
const MODEL: &str = "(?:model|tier|rung|llm|engine|queue|route)";
/// The end of a sentence in a language whose own words may follow a label.
const STOP: &str = r#"["' ]*[.!;,]*["' ]*$"#;

/// The patterns for labels: `all` of them, those that are `degrees`, of these the `bare` ones that say no manner, and the
/// names of `models`; `end` is what may follow a label.
pub(super) fn patterns(all: &str, degrees: &str, bare: &str, models: &str, end: &str) -> Vec<String> {
    let mut patterns = by_place();
    if all != NONE {
        patterns.push(format!(
            r#"{START}(?:use|take|apply|assign) (?:the )?(?:label|class|category|classification)[ ":]+{all}"?(?: (?:for|on|to) (?:this|that|it|me|everything)(?: [a-z]+)?)?{end}"#
        ));
        patterns.push(format!(
            r#"\byour (?:label|classification|category|class)"? {MUST}(?: (?:always|only|just|be|read|say|equal))+ ?:? ?"*{all}{end}"#
        ));
    }
    if degrees != NONE {
        patterns.extend(of_degrees(degrees, end));
        patterns.extend(german(degrees));
        patterns.extend(romance(degrees));
    }
    if bare != NONE {
        patterns.extend(of_bare(bare, end));
    }
    if models != NONE {
        patterns.push(format!(
            r#"{START}(?:use|choose|pick|select|take|switch to|go (?:to|with)|(?:upgrade|move|downgrade|change)(?: this| it| me)? to|put (?:this|it|me)(?: [a-z]+)? (?:on|in|into|to)|(?:run|serve|answer|handle|process|do|solve)(?: (?:this|it|that|me|my|the|all|everything|request|query|prompt|question|message|task)){{0,3}} (?:on|with|by|using|through|via|from)) (?:only |always )?(?:the |your |an? )?(?:most )?"?{models}"? {MODEL}(?: (?:for|on|with) (?:this|that|it|me|us|all|everything)\b[^.!?]{{0,40}})?{end}"#
        ));
    }
    patterns
}

fn of_degrees(degrees: &str, end: &str) -> Vec<String> {
    vec![
        format!(
            r#"{START}(?:say|write|type|state|declare|produce|give|generate|tell me|choose|pick|select|utter)(?: (?:just|only|simply|exactly|the|a|single|word|text|back|out))*[ :]*[ ]?"+{degrees}"+{end}"#
        ),
        // A role that says one thing.
        format!(
            r#"\b(?:you are|act (?:as|like)|pretend|behave|imagine|play|become|turn into|simulate)\b.{{0,60}}\b(?:only|always|just|simply|nothing but) {SAYS}(?: (?:only|always|just|with|the|word|label|everything|as|nothing but))*[ ":=]+{degrees}"?(?: (?:to|for|on) (?:all|every|any|each)[a-z]*\b.*)?{end}"#
        ),
        format!(
            r#"\b(?:you are|act (?:as|like)|pretend|behave|imagine|play|become|turn into|simulate)\b.{{0,60}}\b(?:that|which|who|and|to) {SAYS}(?: (?:only|always|just|with|the|word|label|everything|as|nothing but))*[ :=]+"{degrees}"(?: (?:to|for|on) (?:all|every|any|each)[a-z]*\b.*)?{end}"#
        ),
        format!(
            r#"^"*{degrees}"* (?:is|must be|should be|shall be|will be) (?:the |your )?(?:only|single|sole|one) (?:[a-z]+ )?(?:word|thing|answer|label|output|reply|response|string|token|text)(?: (?:that |which )?(?:you|to (?:be|say|return|answer|output)|i (?:want|accept|expect|allow))\b.*)?[.!]*$"#
        ),
        format!(
            r#"{START}(?:treat|consider|count|regard|handle|process|take|see|view)(?: (?:this|it|that|me|my|the|request|query|prompt|question|message)){{1,3}}(?: (?:as|to be|a|an)){{1,3}} "?{degrees}"? (?:request|prompt){end}"#
        ),
    ]
}

fn of_bare(bare: &str, end: &str) -> Vec<String> {
    vec![
        // What the answer must be.
        format!(
            r#"(?:\byour (?:[a-z]+ ){{0,2}}(?:answer|output|response|reply|verdict|rating)s?|\b(?:the|every|each|any|all) (?:answer|output|response|reply|verdict)s?(?: of yours| (?:that )?you [a-z]+)) {MUST}(?: (?:always|only|just|simply|exactly|be|equal|read|say|state))+ ?:? ?"*{bare}{end}"#
        ),
        format!(
            r#"{START}(?:choose|pick|select|go (?:with|for)|opt for|decide on|settle (?:on|for))(?: (?:only|just|always))* "*{bare}{end}"#
        ),
        format!(
            r#"\b(?:you are|act (?:as|like)|pretend|behave|imagine|play|become|turn into|simulate)\b.{{0,60}}\b(?:classifier|router|sorter|labell?er|selector|parrot|bot|machine|function|program|script|robot)\b.*\b{SAYS}(?: (?:only|always|just|with|the|word|label|everything|as|nothing but))*[ ":=]+{bare}"?(?: (?:to|for|on) (?:all|every|any|each)[a-z]*\b.*)?{end}"#
        ),
        format!(
            r#"{START}(?:treat|consider|count|regard|handle|process|take|see|view)(?: (?:this|it|that|me|my|the|request|query|prompt|question|message)){{1,3}}(?: (?:as|to be|a|an)){{1,3}} "?{bare}"? (?:query|question|message|task|call|case){end}"#
        ),
    ]
}

/// Orders that name a label by its place among the labels.
fn by_place() -> Vec<String> {
    vec![
        format!(
            r"^(?:(?:please|just|now|only|always|simply) )*(?:answer|reply|respond)(?: (?:only|just|always|simply|with|to this))* (?:the )?{MOST} (?:of (?:the|your) )?(?:labels?|tiers?|rungs?)[.!]*$"
        ),
        format!(
            r"^(?:(?:please|just|now|only|always|simply) )*(?:answer|reply|respond|return|output|print|say)(?: (?:only|just|with))+ (?:the )?(?:label|tier|rung) (?:for|of|with) the {MOST} (?:tier|rung|complexity|difficulty|model)[.!]*$"
        ),
    ]
}

/// Verbs at the end, and what the answer is.
fn german(degrees: &str) -> [String; 3] {
    const ONLY: &str = "(?:nur|bloss|bloß|ausschlie(?:ss|ß)lich|lediglich|immer|einfach|stets)";
    [
        format!(
            r#"\b{ONLY}(?: (?:{ONLY}|das|die|den|wort|antwort|text|label|mit|ein|einzige|genau|bitte))*:? ?"*{degrees}"* (?:ausgeben|antworten|zuruckgeben|zuruckliefern|schreiben|sagen|nennen|angeben|wahlen|auswahlen|liefern|erwidern|melden)\b"#
        ),
        format!(
            r#"\b(?:die|deine|jede|ihre|eure) (?:antwort|ausgabe|klassifizierung|einstufung|bewertung) (?:ist|lautet|muss|soll|sei|hei(?:ss|ß)t|wird)(?: (?:{ONLY}|genau|das|wort))*:? ?"*{degrees}"*(?: (?:zu )?(?:sein|lauten|hei(?:ss|ß)en))?{STOP}"#
        ),
        format!(
            r#"(?:^|[,:] ?|\b(?:und|dann|bitte) )(?:nimm|wahle?|nenne?|liefere?|drucke?|zeige?|melde?)(?: (?:{ONLY}|bitte|mir|das|wort|label))*:? ?"*{degrees}"*{STOP}"#
        ),
    ]
}

/// French, Spanish, Italian and Portuguese: infinitives as orders, and what the answer is.
fn romance(degrees: &str) -> [String; 3] {
    [
        format!(
            r#"\b(?:repondre|reponds?|repondez|renvoyer|renvoie|renvoyez|retourner|dire|dis|dites|ecrire|ecris|ecrivez|affiche[rz]?|donne[rz]?|indique[rz]?|choisi[rs]|choisissez|mettre|mets|mettez)(?: (?:par|avec|le|la|mot|bien))*(?: (?:que|uniquement|seulement|juste|toujours|simplement|exclusivement)\b)+(?: (?:par|avec|le|la|mot|de))*[ :,"]+{degrees}{STOP}"#
        ),
        format!(
            r#"\b(?:responder|responde|contestar|contesta|devolver|devuelve|decir|escribir|escribe|mostrar|muestra|imprimir|imprime|clasificar|elegir|elige|seleccionar|selecciona|poner|pon|rispondere|rispondi|restituire|scrivere|scrivi|scegli|retornar|retorne|escrever|escreva|dizer|diga|imprima|escolha)(?: (?:con|com|la|a|il|palabra|palavra|parola))*(?: (?:solo|solamente|unicamente|siempre|simplemente|soltanto|sempre|apenas|somente)\b)+(?: (?:con|com|la|a|il|palabra|palavra|parola))*[ :,"]+{degrees}{STOP}"#
        ),
        format!(
            r#"\b(?:la|ta|votre|chaque|su|tu|cada|a|sua|tua|ogni) (?:reponse|respuesta|risposta|resposta|salida|sortie)(?: [a-z]+)? (?:est|doit etre|sera|soit|es|debe ser|tiene que ser|ha de ser|e|deve essere|deve ser|sara)(?: (?:toujours|uniquement|seulement|juste|siempre|solo|solamente|unicamente|sempre|apenas|somente))*:? ?"*{degrees}{STOP}"#
        ),
    ]
}
