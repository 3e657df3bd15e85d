namespace VllmNative.BindingGenerator.Writers;

/// <summary>AbiInfo.g.cs: which header these bindings came from, and two views of its layout: expected and real.</summary>
internal static class AbiInfoWriter
{
    public static string Write(HeaderModel header, TypeMap types)
    {
        CodeText code = CodeText.CSharp();
        code.Line();
        code.Line("/// <summary>The header that these bindings were made from.</summary>");
        code.Line("internal static unsafe class AbiInfo");
        code.Open();
        code.Line("/// <summary>SHA-256 of the header's bytes.</summary>");
        code.Line($"public const string HeaderSha256 = \"{header.Sha256}\";");
        code.Line();
        code.Line("/// <summary>VN_ABI_VERSION of the header.</summary>");
        code.Line($"public const int AbiVersion = {header.AbiVersion};");
        code.Line();
        code.Line("/// <summary>Sizes (\"vn_tensor\") and offsets (\"vn_tensor.rank\") in bytes, by C's rule of natural alignment.</summary>");
        code.Line("public static (string Name, long Bytes)[] Expected() =>");
        code.Line("[");
        foreach (HeaderStruct @struct in header.Structs)
        {
            (int bytes, _, int[] offsets) = types.Layout(@struct);
            code.Line($"    (\"{@struct.Name}\", {bytes}),");
            for (int i = 0; i < offsets.Length; i++)
            {
                code.Line($"    (\"{@struct.Name}.{@struct.Fields[i].Name}\", {offsets[i]}),");
            }
        }
        code.Line("];");
        code.Line();
        code.Line("/// <summary>The same table, measured on the C# structs as this runtime lays them out.</summary>");
        code.Line("public static (string Name, long Bytes)[] Measure()");
        code.Open();
        code.Line("var table = new List<(string, long)>();");
        foreach (HeaderStruct @struct in header.Structs)
        {
            string name = Naming.Struct(@struct.Name);
            code.Open();
            code.Line($"{name} s = default;");
            code.Line($"table.Add((\"{@struct.Name}\", sizeof({name})));");
            foreach (HeaderField field in @struct.Fields)
            {
                code.Line($"table.Add((\"{@struct.Name}.{field.Name}\", (byte*)&s.{Naming.Field(field.Name)} - (byte*)&s));");
            }
            code.Close();
        }
        code.Line("return [.. table];");
        code.Close();
        code.Close();
        return code.ToString();
    }
}
