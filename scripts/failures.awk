# Names the tests that failed in what cargo test printed, each with its panic's place and message.
/^---- .* stdout ----$/ { sub(/^---- /, ""); sub(/ stdout ----$/, ""); test = $0; next }
test != "" && / panicked at / { place = $0; sub(/.* panicked at /, "", place); getline; print "failed: " test ", " place " " substr($0, 1, 300); test = "" }
