# embed.awk - turns SQL files into two C files: an enum of names, and the texts in the same order.
# usage: awk -v header=sql.h -v source=sql.c -v room=store -f embed.awk FILE.sql...
# A line "-- name: put_run" starts a statement; a file without such a line is one, named after itself.
# For the room `store` the enum is store_sql with SQL_PUT_RUN, the texts store_sql_text; for another
# room the names begin with that room's: REPORT_SQL_SHOW_RUN.

function finish()
{
    if (name == "")
        return
    print "    " prefix toupper(name) "," > header
    print "    [" prefix toupper(name) "] =" text "," > source
    name = text = ""
}

BEGIN {
    prefix = room == "store" ? "SQL_" : toupper(room) "_SQL_"
    guard = toupper(room) "_SQL_H"
    print "/* Made from the .sql files of this folder by embed.awk. */" > header
    print "#ifndef " guard "\n#define " guard "\n\ntypedef enum " room "_sql {" > header
    print "#include \"lab/" room "/sql.h\"\n" > source
    print "const char *const " room "_sql_text[" prefix "COUNT] = {" > source
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

NF > 0 && !/^--/ {
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    text = text "\n        \"" $0 "\\n\""
}

END {
    finish()
    print "    " prefix "COUNT\n} " room "_sql;\n\nextern const char *const " room "_sql_text[" prefix "COUNT];\n\n#endif" > header
    print "};" > source
}
