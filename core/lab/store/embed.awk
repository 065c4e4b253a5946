# embed.awk - turns SQL files into two C files: an enum of names, and the texts in the same order.
# usage: awk -v header=sql.h -v source=sql.c -f embed.awk FILE.sql...
# A line "-- name: put_run" starts a statement; a file without such a line is one, named after itself.

function finish()
{
    if (name == "")
        return
    print "    SQL_" toupper(name) "," > header
    print "    [SQL_" toupper(name) "] =" text "," > source
    name = text = ""
}

BEGIN {
    print "/* Made from the .sql files of this folder by embed.awk. */" > header
    print "#ifndef STORE_SQL_H\n#define STORE_SQL_H\n\ntypedef enum store_sql {" > header
    print "#include \"lab/store/sql.h\"\n" > source
    print "const char *const store_sql_text[SQL_COUNT] = {" > source
}

FNR == 1 {
    finish()
    name = FILENAME
    gsub(/.*\/|\.sql$/, "", name)
}

/^-- name: / {
    if (text != "")
        finish()
    name = $3
    next
}

NF > 0 {
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    text = text "\n        \"" $0 "\\n\""
}

END {
    finish()
    print "    SQL_COUNT\n} store_sql;\n\nextern const char *const store_sql_text[SQL_COUNT];\n\n#endif" > header
    print "};" > source
}
