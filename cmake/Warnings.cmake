# vn_warnings(target): the project's own code compiles without a warning.
function(vn_warnings target)
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CXX,C>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Werror>")
endfunction()
