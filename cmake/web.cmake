# The web page inside the binary: esbuild bundles web/ into <build>/web, cmake/embed.mjs turns that into one C file.
# Without Node or the npm packages the table is empty, and the daemon says so instead of serving a page; `./dev`
# installs both, so that only a build by hand ever sees this.

set(ROOST_ASSETS_C ${CMAKE_BINARY_DIR}/gen/assets.c)
find_program(NODE NAMES node nodejs)
set(web_dist ${CMAKE_BINARY_DIR}/web)

if(ROOST_WEB AND NODE AND EXISTS ${CMAKE_SOURCE_DIR}/web/build.mjs AND EXISTS ${CMAKE_SOURCE_DIR}/node_modules)
	file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/*)
	list(FILTER web_sources EXCLUDE REGEX "/web/dist/")
	add_custom_command(
		OUTPUT ${ROOST_ASSETS_C}
		COMMAND ${NODE} ${CMAKE_SOURCE_DIR}/web/build.mjs ${web_dist}
		COMMAND ${NODE} ${CMAKE_SOURCE_DIR}/cmake/embed.mjs ${web_dist} ${ROOST_ASSETS_C}
		WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
		DEPENDS ${web_sources} ${CMAKE_SOURCE_DIR}/cmake/embed.mjs ${CMAKE_SOURCE_DIR}/package.json
		COMMENT "Bundling the web page" VERBATIM)
else()
	file(CONFIGURE OUTPUT ${ROOST_ASSETS_C} @ONLY CONTENT
"#include \"server/assets.h\"

const struct asset assets[] = {{0}};
const size_t assets_len = 0;
")
endif()
