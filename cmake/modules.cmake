# Turns directories of sources into libraries and programs.

# Directories whose inside has names that the floors beside them have too. What includes from one links with
# roost_<dir>_closed, a single object that shows nothing but what begins with roost_; its own tests with roost_<dir>.
set(ROOST_CLOSED client)

function(roost_close dir)
	set(object ${CMAKE_BINARY_DIR}/gen/${dir}.o)
	add_custom_command(OUTPUT ${object} DEPENDS roost_${dir} VERBATIM
		COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/gen
		COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${object} -Wl,--whole-archive $<TARGET_FILE:roost_${dir}>
			-Wl,--no-whole-archive
		COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=roost_* ${object}
		COMMENT "Closing ${dir}")
	add_custom_target(roost_${dir}_object DEPENDS ${object})
	add_library(roost_${dir}_closed INTERFACE)
	add_dependencies(roost_${dir}_closed roost_${dir}_object)
	target_include_directories(roost_${dir}_closed INTERFACE ${CMAKE_SOURCE_DIR}/include)
	target_link_libraries(roost_${dir}_closed INTERFACE ${object})
endfunction()

# One static library per row of the layer table; a directory without sources is skipped.
function(roost_layers table)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${table})
	file(STRINGS ${table} rows REGEX "^[a-z]")
	foreach(row IN LISTS rows)
		string(REGEX REPLACE " +" ";" uses "${row}")
		list(POP_FRONT uses dir)
		file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${dir}/*.c)
		list(FILTER sources EXCLUDE REGEX "/cli/main\\.c$")
		if(dir STREQUAL "server" AND sources)
			list(APPEND sources ${ROOST_ASSETS_C})
		endif()
		if(NOT sources)
			continue()
		endif()
		add_library(roost_${dir} STATIC ${sources})
		target_include_directories(roost_${dir} PUBLIC ${CMAKE_SOURCE_DIR}/src)
		target_compile_definitions(roost_${dir} PRIVATE ROOST_VERSION="${PROJECT_VERSION}")
		# The upper floor is linked first: what it calls is below it.
		list(REVERSE uses)
		foreach(below IN LISTS uses)
			if(TARGET roost_${below}_closed)
				target_link_libraries(roost_${dir} PUBLIC roost_${below}_closed)
			elseif(TARGET roost_${below})
				target_link_libraries(roost_${dir} PUBLIC roost_${below})
			endif()
		endforeach()
		target_link_libraries(roost_${dir} PUBLIC roost_deps)
		if(dir IN_LIST ROOST_CLOSED)
			roost_close(${dir})
		endif()
	endforeach()
endfunction()

# The layers named by the #includes of a file, as targets that exist.
function(roost_layers_of file out)
	file(STRINGS ${file} includes REGEX "^#include \"[./a-z]*[a-z]+/[a-z0-9_]+\\.[ch]\"")
	set(found "")
	foreach(line IN LISTS includes)
		string(REGEX REPLACE ".*[\"/]([a-z]+)/[a-z0-9_]+\\.[ch]\".*" "\\1" dir "${line}")
		if(TARGET roost_${dir})
			list(APPEND found roost_${dir})
		endif()
	endforeach()
	if(TARGET roost_base)
		list(APPEND found roost_base)
	endif()
	list(REMOVE_DUPLICATES found)
	set(${out} "${found}" PARENT_SCOPE)
endfunction()

# roost_programs(GLOB pattern PREFIX prefix [TEST|FUZZ]): one program per file that has the pattern, linked with the
# layers it includes from, so that a test of a lower floor builds while an upper one does not. TEST makes it a cmocka
# program known to ctest, FUZZ a libFuzzer target.
function(roost_programs)
	cmake_parse_arguments(arg "TEST;FUZZ" "GLOB;PREFIX" "" ${ARGN})
	file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${arg_GLOB})
	foreach(file IN LISTS files)
		get_filename_component(name ${file} NAME_WE)
		set(target ${arg_PREFIX}${name})
		set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
		roost_layers_of(${file} layers)
		add_executable(${target} ${file})
		target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/test)
		target_compile_definitions(${target} PRIVATE ROOST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
		target_link_libraries(${target} PRIVATE ${layers} roost_deps)
		if(arg_TEST)
			target_link_libraries(${target} PRIVATE PkgConfig::cmocka)
			add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
			set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS unit)
		elseif(arg_FUZZ)
			target_link_options(${target} PRIVATE -fsanitize=fuzzer)
		endif()
	endforeach()
endfunction()
