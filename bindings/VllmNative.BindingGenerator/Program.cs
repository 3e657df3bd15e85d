using VllmNative.BindingGenerator;

// generate  write the files
// verify    exit 1 with the differences when the checked-in files are not what the header gives
// build     generate; without clang, only make sure that the checked-in files belong to this header
try
{
    if (args.Length is < 1 or > 2 || args[0] is not ("generate" or "verify" or "build"))
    {
        throw new GeneratorException("usage: VllmNative.BindingGenerator generate|verify|build [repository root]");
    }
    string root = args.Length == 2 ? Path.GetFullPath(args[1]) : Directory.GetCurrentDirectory();
    string? clang = ClangFrontEnd.Find();
    if (clang is null)
    {
        return WithoutClang(args[0], root);
    }
    SortedDictionary<string, string> files = GeneratedFiles.Render(root, clang);
    if (args[0] != "verify")
    {
        foreach (string path in GeneratedFiles.Write(root, files))
        {
            Console.WriteLine($"wrote {path}");
        }
        return 0;
    }
    List<string> differences = GeneratedFiles.Differences(root, files);
    differences.ForEach(Console.Error.WriteLine);
    return differences.Count == 0 ? 0 : 1;
}
catch (Exception error) when (error is GeneratorException or IOException)
{
    // The form that MSBuild shows as an error.
    Console.Error.WriteLine($"VllmNative.BindingGenerator : error VNG001: {error.Message}");
    return 1;
}

static int WithoutClang(string mode, string root)
{
    string hash = HeaderReader.Hash(File.ReadAllBytes(Path.Combine(root, GeneratedFiles.HeaderPath)));
    string abiInfo = File.ReadAllText(Path.Combine(root, GeneratedFiles.AbiInfoPath));
    if (mode == "build" && abiInfo.Contains(hash, StringComparison.Ordinal))
    {
        return 0;
    }
    string reason = mode == "build" ? $"{GeneratedFiles.HeaderPath} changed since the bindings were generated, and " : "";
    throw new GeneratorException($"{reason}clang was not found ({ClangFrontEnd.SearchDescription}); install it, for example with apt-get install clang");
}
