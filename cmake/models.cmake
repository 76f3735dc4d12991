# The models Roost knows, inside the binary: src/provider/models.json becomes <build>/gen/models.c.

set(ROOST_MODELS_C ${CMAKE_BINARY_DIR}/gen/models.c)
set(models_json ${CMAKE_SOURCE_DIR}/src/provider/models.json)
add_custom_command(
	OUTPUT ${ROOST_MODELS_C}
	COMMAND ${CMAKE_COMMAND} -DIN=${models_json} -DOUT=${ROOST_MODELS_C} -P ${CMAKE_SOURCE_DIR}/cmake/models_embed.cmake
	DEPENDS ${models_json} ${CMAKE_SOURCE_DIR}/cmake/models_embed.cmake
	COMMENT "Embedding the models" VERBATIM)
