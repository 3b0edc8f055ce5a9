//! Words that say the same about a task, in six languages: each group counts as one word.
//!
//! Accents are left out, as the tokenizer drops them. A word that means something else in another of the languages
//! ("die", "resume" in English) is left out as well, unless it is one of a request's usual first words there.

/// One line a group. Its first word names it.
pub(super) const GROUPS: &str = "
summarize summarise sumarise summerize summarizing summarising summarized summarised sumarize zusammenfassen zusammenfasse fasse \
    resuma resumir resumez resumer riassumi riassumere sintetiza sintetizar sintetizza synthetiser synthetise condense \
    recap abridge distill boil digest
summary summaries tldr synopsis abstract gist overview rundown takeaways zusammenfassung kurzfassung resumen \
    resumo riassunto sintesis sintesi recapitulatif highlights briefing
translate translating translated transalte translat tranlsate traslate ubersetze ubersetzen ubersetz traduis traduire \
    traduisez traduce traducir traduzca traduci traduzione tradurre traduz traduza traduzir vertaal localise localize
translation translations ubersetzung traduction traduccion traducao interpreter translator
classify classifying classified classifiy classification categorize categorise categorizing klassifiziere \
    klassifizieren einordnen ordne classe classez classer classifier clasifica clasificar classifica classificare classifique \
    classificar kategorisiere categoriza categorizza categorize triage
sentiment stimmung sentimento sentimiento sentiments polarity mood emotion emotional tone
positive negative neutral positiv negativ positif negatif positivo negativo positiva negativa neutro neutre
spam phishing ham junk
label labels tag category categories kategorie kategorien categoria categorias categorie bucket buckets intent
extract extracting extrat extrct exract extrahiere extrahieren extrais extraire extrayez extrae extraer extraiga estrai estrarre extraia \
    extrair extraction extracts retrieve isolate
find finde trouve encuentra trova encontre
identify locate spot detect recognize identifiziere identifie identifica identifique
entities entity ner named
names name namen noms nombres nomi nomes
dates date daten datum fechas fecha datas
keywords keyword keyphrases keyphrase hashtags hashtag descriptors schlagworter schlusselworter stichworter \
    stichworte palabras parole palavras mots seo
tags terms topics themes subjects headings phrases
convert converting converted konvertiere konvertieren wandle umwandeln wandeln convertis convertir convertissez \
    convierte convierta converti convertire converta converter transform transforms transforme transforma transforma \
    transformiere reformat transcode serialize export
json xml yaml csv toml tsv markdown html latex bibtex ini vcard ical jsonl geojson asciidoc rst
rewrite rephrase reword paraphrase rewriting umformulieren formuliere reformule reformuler reecris reescribe \
    reescribir reescreva riscrivi reformula reformule umschreiben polish
correct proofread proofreading fix repair korrigiere korrigieren verbessere corrige corriger corrigez corregir \
    correggi correggere corrija corrigir edit
grammar spelling punctuation typos grammatik rechtschreibung orthographe grammaire ortografia gramatica \
    grammatica fautes typo capitalization
polite politely formal professional casual friendlier nicer formally hoflich hoflicher formlicher formell formel formelle cortes \
    professionally polished
bullets bullet bulleted bulletpoints stichpunkte numbered paragraphs
explain explaining explains erklare erklaren erklar erlautere explique expliquer expliquez explica explicar explicame \
    spiega spiegami spiegare eli5 walk interpret describe decode annotate clarify narrate
code snippet function script codes snippets programm skript fonction funktion funcion funzione funcao \
    programma programa codigo codice
bug bugs debug debugging debuggen fehler erreur errore erro traceback exception error errors throws crash crashes \
    segfault fails failing
python javascript java rust golang kotlin swift typescript php ruby perl haskell scala bash powershell sql c++ react \
    node django flask numpy pandas css matlab vba cobol solidity swiftui pytorch js ts
implement implementing implementiere implementieren implementa implementar implementer refactor refactoring port \
    program optimise optimize
write writing schreibe schreib schreiben ecris ecrire ecrivez redige rediger escribe escribir escriba scrivi scrivere \
    escreva escrever redacta compose draft pen craft verfasse verfassen dichte composez compon
create build generate produce develop erstelle erstellen entwickle erzeuge cree creer crea crear crie criar creare genera \
    generer genere gerar generate generar elabora elaborer elabore desarrolla desenvolva crie bau baue entwirf design
poem poems poetry haiku sonnet limerick verse rhyme gedicht gedichte poeme poesie poema poesia lyrics song rap ballad \
    stanza acrostic ode verses
story stories tale tales geschichte gutenachtgeschichte histoire conte historia cuento relato storia racconto fable \
    novel myth legend fiction plot chapter scene monologue dialogue screenplay fairytale
slogan slogans tagline taglines caption copy blurb headline motto werbeslogan jingle advert
blog article essay post speech letter newsletter
invent imagine erfinde invente inventa imagina brainstorm
tell raconte
solve solving resous resoudre resolva resuelve resolver risolvi factor differentiate integrate
calculate compute calculating berechne berechnen rechne calcule calculer calcula calcular calcola calcolare computes
equation equations gleichung equacao ecuacion equazione polynomial quadratic integral derivative matrix \
    eigenvalues determinant logarithm
percent percentage prozent pourcent porcentaje percentuale porcentagem
prove proof beweise beweisen demontre demontrer demuestra demostrar dimostra dimostrare prova demonstre disprove \
    montre deduce infer induction
why warum weshalb wieso pourquoi perche porque
reason reasoning argue logic logically rigorous rigorously deduction premises syllogism paradox puzzle riddle
compare contrast vergleiche vergleichen comparez comparer compara comparar confronta confrontare comparing
analyze analyse assess critique criticize weigh analysiere analysieren analiza analizar analizza analise analisar discuss
plan plans planning plane planen planifie planifier planifica planificar pianifica planeje planejar roadmap schedule \
    timetable itinerary agenda timeline trainingsplan projektplan projektplane organise organize
strategy strategies strategic strategie strategien estrategia estrategias strategia strategico marketingstrategie
budget allocate prioritise prioritize milestones okrs kpi swot
moderate moderation moderator modera moderare moderer moderiere moderieren
toxic offensive hateful harassment hate hassrede abusive bullying slurs racist sexist obscene profanity nsfw explicit \
    haineux offensant offensivo ofensivo insults insult beleidigung beleidigungen insultes insultos insulti \
    threat threats inappropriate swear cyberbullying toxicity obscenity vulgar
violate violates violating violation breaks guidelines policy policies rules rule terms verstosst regeln regles \
    enfreint normas regole viola
remove banned ban block allowed flag flagged
what quoi que qual quale cual
which welche welcher welches quel quelle quels quelles cuales quali quais
who wer qui quien chi quem
where wo ou donde dove onde
when wann quand cuando quando
how wie como
many much viele viel combien cuanto cuantos quanto quanti quantos
capital hauptstadt capitale
please pls plz bitte svp favor kindly
text texte texto testo passage paragraph paragraphe parrafo absatz paragrafo absatzes abschnitt passages
article artikel articulo articolo artigo report bericht rapport informe relatorio rapporto
review reviews bewertung avis resena recensione avaliacao feedback kundenmeinung comments kommentar commentaire \
    comentario commento comment tweet tweets
picture image photo logo drawing painting illustration bild imagen immagine imagem portrait
english englisch anglais ingles inglese
german deutsch allemand aleman tedesco alemao
french franzosisch francais frances francese
spanish spanisch espagnol espanol spagnolo espanhol
italian italienisch italien italiano
japanese chinese korean russian portuguese dutch swedish danish norwegian finnish greek turkish arabic hindi \
    hebrew latin thai vietnamese mandarin czech hungarian romanian ukrainian icelandic swahili esperanto farsi tamil \
    portugiesisch russisch
";

/// Words a request can do without: what stands before its verb, and what stands between the verb and its object.
pub(super) const FILLERS: &str = "
can could would will you i need want like d to me my our your us we the a an this that these those following below above \
some any of for from in on at it its is are be please so just also help want hi hey hello kindly ok okay \
konnen kannst du sie mir bitte ich mochte den das der die dem des ein eine einen diesen dieses dieser diese aus \
peux pouvez tu vous moi le la les ce cet cette ces un une du de des mon je voudrais \
puedes podrias el los las este esta estos un una del mi me por \
puoi potresti il lo gli questo questa questi mi per favore \
pode voce o os as este esta um uma meu me do da
";
