using VllmNative.BindingGenerator.Writers;

namespace VllmNative.BindingGenerator;

/// <summary>The files that come out of the header: rendered, written, or compared with what is checked in.</summary>
internal static class GeneratedFiles
{
    /// <summary>The header, relative to the repository's root.</summary>
    public const string HeaderPath = "native/include/vllm_native.h";

    /// <summary>The file that holds the header's hash, relative to the repository's root.</summary>
    public const string AbiInfoPath = Folder + "AbiInfo.g.cs";

    private const string Folder = "bindings/VllmNative.Bindings/Generated/";

    /// <summary>The text of every generated file by its path relative to the repository's root.</summary>
    public static SortedDictionary<string, string> Render(string root, string clang)
    {
        HeaderModel header = HeaderReader.Read(Path.Combine(root, HeaderPath), clang);
        var types = new TypeMap(header);
        return new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            [Folder + "NativeMethods.g.cs"] = NativeMethodsWriter.Write(header, types),
            [Folder + "Structs.g.cs"] = StructsWriter.Write(header, types),
            [Folder + "Constants.g.cs"] = ConstantsWriter.Write(header),
            [AbiInfoPath] = AbiInfoWriter.Write(header, types),
            ["native/capi/abi_layout.inc"] = AbiLayoutWriter.Write(header),
        };
    }

    /// <summary>Writes the files whose text differs; the paths written come back.</summary>
    public static List<string> Write(string root, SortedDictionary<string, string> files)
    {
        var written = new List<string>();
        foreach ((string path, string text) in files)
        {
            string full = Path.Combine(root, path);
            if (File.Exists(full) && File.ReadAllText(full) == text)
            {
                continue;
            }
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            // Written aside and renamed: two builds at once never show a compiler half a file.
            string temporary = $"{full}.{Environment.ProcessId}.tmp";
            File.WriteAllText(temporary, text);
            File.Move(temporary, full, overwrite: true);
            written.Add(path);
        }
        return written;
    }

    /// <summary>What is checked in and differs: one line for each of the first lines that do, up to a limit a file.</summary>
    public static List<string> Differences(string root, SortedDictionary<string, string> files, int linesPerFile = 10)
    {
        var differences = new List<string>();
        foreach ((string path, string text) in files)
        {
            string full = Path.Combine(root, path);
            string[] found = File.Exists(full) ? File.ReadAllText(full).Split('\n') : [];
            string[] expected = text.Split('\n');
            IEnumerable<string> lines = Enumerable.Range(0, Math.Max(found.Length, expected.Length))
                .Where(i => found.ElementAtOrDefault(i) != expected.ElementAtOrDefault(i))
                .Take(linesPerFile)
                .Select(i => $"{path}:{i + 1}: found '{found.ElementAtOrDefault(i)}', expected '{expected.ElementAtOrDefault(i)}'");
            differences.AddRange(lines);
        }
        return differences;
    }
}
