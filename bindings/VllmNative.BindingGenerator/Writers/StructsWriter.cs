namespace VllmNative.BindingGenerator.Writers;

/// <summary>Structs.g.cs: blittable mirrors of the C structs, and the inline arrays that they hold.</summary>
internal static class StructsWriter
{
    public static string Write(HeaderModel header, TypeMap types)
    {
        CodeText code = CodeText.CSharp("System.Runtime.CompilerServices", "System.Runtime.InteropServices");
        // Fields of a mirror are often written by native code alone.
        code.Line();
        code.Line("#pragma warning disable CS0649");
        foreach (HeaderStruct @struct in header.Structs)
        {
            WriteStruct(code, @struct, types);
        }
        IEnumerable<(string Element, int Length)> arrays = header.Structs
            .SelectMany(s => s.Fields)
            .Select(f => TypeMap.Array(f.Type))
            .OfType<(string, int)>()
            .Distinct()
            .OrderBy(a => TypeMap.InlineArray(a.Item1, a.Item2), StringComparer.Ordinal);
        foreach ((string element, int length) in arrays)
        {
            code.Line();
            code.Line($"/// <summary>{length} values of C type {element}, in place; converts to a span.</summary>");
            code.Line($"[InlineArray({length})]");
            code.Line($"internal struct {TypeMap.InlineArray(element, length)}");
            code.Open();
            code.Line($"private {TypeMap.Element(element)} _first;");
            code.Close();
        }
        return code.ToString();
    }

    private static void WriteStruct(CodeText code, HeaderStruct @struct, TypeMap types)
    {
        string name = Naming.Struct(@struct.Name);
        code.Line();
        code.Summary(@struct.Comment, $"The C struct {@struct.Name}.");
        code.Line("[StructLayout(LayoutKind.Sequential)]");
        code.Line($"internal unsafe struct {name}");
        code.Open();
        if (@struct.IsSized)
        {
            code.Line($"/// <summary>Every field zero but the size; <c>default</c> leaves that zero too and is refused.</summary>");
            code.Line($"public {name}() => StructSize = (uint)sizeof({name});");
            code.Line();
        }
        for (int i = 0; i < @struct.Fields.Count; i++)
        {
            HeaderField field = @struct.Fields[i];
            if (i > 0)
            {
                code.Line();
            }
            code.Summary(field.Comment, field.Name == "struct_size" ? "The struct's size in bytes." : $"The C field {field.Name} ({field.Type}).");
            code.Line($"public {types.Field(field.Type)} {Naming.Field(field.Name)};");
        }
        code.Close();
    }
}
