# cmake -DIN=models.json -DOUT=models.c -P models_embed.cmake: the file's bytes as the C array of src/provider/models.h.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x0a,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"provider/models.h\"\n
static const unsigned char bytes[] = {
${bytes}};
const struct str models_built_in = {(const char *)bytes, sizeof bytes};
")
