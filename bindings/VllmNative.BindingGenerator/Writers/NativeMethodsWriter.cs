namespace VllmNative.BindingGenerator.Writers;

/// <summary>NativeMethods.g.cs: one LibraryImport for each function.</summary>
internal static class NativeMethodsWriter
{
    public static string Write(HeaderModel header, TypeMap types)
    {
        CodeText code = CodeText.CSharp("System.Runtime.InteropServices");
        code.Line();
        code.Line("/// <summary>The functions of the C ABI under their C names. A status other than 0 goes to <see cref=\"Status.Check\"/>.</summary>");
        code.Line("internal static unsafe partial class NativeMethods");
        code.Open();
        code.Line("/// <summary>The name under which the loader finds the library.</summary>");
        code.Line("internal const string Library = \"vllm_native\";");
        foreach (HeaderFunction function in header.Functions)
        {
            string[] parameters = function.Parameters
                .Select(p => $"{types.Parameter(function, p)} {Naming.Parameter(p.Name)}")
                .ToArray();
            bool hasText = parameters.Any(p => p.StartsWith("string ", StringComparison.Ordinal));
            code.Line();
            code.Summary(function.Comment, Fallback(function));
            code.Line($"[LibraryImport(Library{(hasText ? ", StringMarshalling = StringMarshalling.Utf8" : "")})]");
            code.Line($"internal static partial {TypeMap.Return(function.ReturnType)} {function.Name}({string.Join(", ", parameters)});");
        }
        code.Close();
        return code.ToString();
    }

    private static string Fallback(HeaderFunction function) => function.Name.EndsWith("_destroy", StringComparison.Ordinal)
        ? "Destroys the handle; null does nothing."
        : $"The C function {function.Name}.";
}
