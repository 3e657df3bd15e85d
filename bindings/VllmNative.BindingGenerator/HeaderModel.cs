namespace VllmNative.BindingGenerator;

/// <summary>What the header declares, in its own order and its own names.</summary>
internal sealed record HeaderModel(
    string Sha256,
    IReadOnlyList<HeaderConstant> Constants,
    IReadOnlyList<string> Handles,
    IReadOnlyList<HeaderStruct> Structs,
    IReadOnlyList<HeaderFunction> Functions)
{
    public int AbiVersion => Constants.Single(c => c.Name == "VN_ABI_VERSION").Value;
}

/// <summary>An integer macro; section is the title of the header's divider above it.</summary>
internal sealed record HeaderConstant(string Name, int Value, string Section, string? Comment);

/// <summary>A struct with a body.</summary>
internal sealed record HeaderStruct(string Name, IReadOnlyList<HeaderField> Fields, string? Comment)
{
    /// <summary>Whether the struct carries its own size as its first field.</summary>
    public bool IsSized => Fields[0].Name == "struct_size";
}

/// <summary>A field with its C type as the compiler prints it.</summary>
internal sealed record HeaderField(string Name, string Type, string? Comment);

/// <summary>A function with its C return type as the compiler prints it.</summary>
internal sealed record HeaderFunction(string Name, string ReturnType, IReadOnlyList<HeaderField> Parameters, string? Comment);
