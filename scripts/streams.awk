# Prints the streams in an answer of the orchestrator's GET /v1/streams as a table, so that nobody needs jq for it.
# Reads the JSON's tokens, one a line: strings, numbers, words, and the signs { } [ ] : ,

function text(token) { return substr(token, 2, length(token) - 2) }

function rate(bits) { return bits == "" ? "-" : sprintf("%.2f Mbit/s", bits / 1e6) }

function or_dash(value) { return value == "" ? "-" : value }

# Why nothing comes out where something should.
function why() {
    if (field["state"] == "blocked") return "  " field["blocked"]
    if (field["state"] ~ /^(starting|backoff|broken)$/ && field["lastFailure"] != "null") return "  " field["lastFailure"]
}

# The answer is {"streams": [{"id": …, "worker": {"fps": …}, "outputReaders": [{…}, …]}, …]}: a stream is an object at
# depth 3, what it consists of is at depth 4.
/^[{[]$/ {
    if (depth == 4 && key[3] == "outputReaders") readers++
    key[++depth] = ""
    named = 0
    if (depth == 3) { split("", field); readers = 0 }
    next
}

/^[]}]$/ {
    depth--
    if (depth == 2) {
        id[++count] = field["id"]
        known[field["id"]] = 1
        row[count] = sprintf(line, field["state"], or_dash(field["fps"]), rate(field["bitrate"]), field["restarts"], readers) why() "\n"
    }
    next
}

/^:$/ { key[depth] = text(last); named = 1; next }

/^,$/ { named = 0; next }

{
    last = $0
    value = /^"/ ? text($0) : $0
    if (!named) next
    if (depth == 3 && key[3] != "fps" && key[3] != "bitrate") field[key[3]] = value
    if (depth == 4 && key[3] == "worker" && (key[4] == "fps" || key[4] == "bitrate")) field[key[4]] = value
}

# The slash that tells a path of one segment from a short id is for programs, unless both are there.
function title(id) { return id ~ /^\// && !(substr(id, 2) in known) ? substr(id, 2) : id }

BEGIN { line = "%-10s %6s %14s %9s %8s" }

END {
    if (!count) { print "no streams"; exit }
    printf "%-24s " line "  %s\n", "STREAM", "STATE", "FPS", "BIT RATE", "RESTARTS", "READERS", "WHY NOT"
    for (number = 1; number <= count; number++) printf "%-24s %s", title(id[number]), row[number]
}
