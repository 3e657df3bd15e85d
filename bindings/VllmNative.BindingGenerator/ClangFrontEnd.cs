using System.Diagnostics;
using System.Text.Json;

namespace VllmNative.BindingGenerator;

/// <summary>Runs clang, so that a real C front end reads the header instead of a pattern.</summary>
internal static class ClangFrontEnd
{
    /// <summary>What <see cref="Find"/> looks for, for messages.</summary>
    public const string SearchDescription = "the CLANG environment variable, then clang and clang-NN on PATH";

    /// <summary>Finds clang: the CLANG environment variable, else clang or the highest clang-NN on PATH; null when there is none.</summary>
    public static string? Find()
    {
        string? named = Environment.GetEnvironmentVariable("CLANG");
        if (!string.IsNullOrEmpty(named))
        {
            return named;
        }
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Where(Directory.Exists)
            .ToArray();
        return folders.Select(f => Path.Combine(f, "clang")).FirstOrDefault(File.Exists)
            ?? folders
                .SelectMany(f => Directory.EnumerateFiles(f, "clang-*"))
                .Select(f => (Path: f, Version: int.TryParse(Path.GetFileName(f)["clang-".Length..], out int n) ? n : 0))
                .Where(c => c.Version > 0)
                .OrderByDescending(c => c.Version)
                .Select(c => c.Path)
                .FirstOrDefault();
    }

    /// <summary>The header's syntax tree as clang prints it in JSON.</summary>
    public static JsonDocument DumpAst(string clang, string headerPath)
    {
        var start = new ProcessStartInfo(clang)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        // The target is fixed, so that the same tree comes out on every build machine.
        foreach (string argument in (string[])["-fsyntax-only", "--target=x86_64-linux-gnu", "-x", "c", "-std=c11", "-Xclang", "-ast-dump=json", headerPath])
        {
            start.ArgumentList.Add(argument);
        }
        try
        {
            using Process process = Process.Start(start) ?? throw new GeneratorException($"{clang}: did not start");
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                throw new GeneratorException($"{clang} {headerPath}: exit code {process.ExitCode}: {errors.Result.Trim()}");
            }
            return JsonDocument.Parse(output, new JsonDocumentOptions { MaxDepth = 512 });
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            throw new GeneratorException($"{clang}: {error.Message}");
        }
    }
}
